/** Where a long Markdown text can be parted, so that each part means by itself what it means in the whole. */

/** Characters of a part, about: as much as is rendered and put in its place within one frame. */
const SECTION = 8_000;

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
/** A line that belongs to what stands above it, or might: in a list, a quotation, a table. */
const BELONGS = /^(?:\s|[-*+>|]|\d+[.)])/;

/** @param {string} text @param {number} from where a part begins @returns {number} where it ends */
export function boundary(text, from) {
  let fence = "";
  let isBlank = false;
  for (let start = from; start < text.length; ) {
    const end = text.indexOf("\n", start) + 1 || text.length;
    const line = text.slice(start, end);
    if (isBlank && !fence && start - from >= SECTION && line.trim() && !BELONGS.test(line)) return start;
    fence = fenceAfter(line, fence);
    isBlank = line.trim() === "";
    start = end;
  }
  return text.length;
}

/** @param {string} line @param {string} open the fence that stands open before it @returns {string} and after it */
function fenceAfter(line, open) {
  const mark = FENCE.exec(line)?.[1] ?? "";
  if (!open) return mark;
  const closes = mark.startsWith(open) && line.trim() === mark;
  return closes ? "" : open;
}
