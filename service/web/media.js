/** Pictures, sounds and films in an answer, as the wire contract has them (section 4.4): HTML in the text. */

/**
 * @typedef {object} Medium
 * @property {"image" | "audio" | "video"} kind
 * @property {string} url
 * @property {string} small the address of a small picture; of what is none, the same
 * @property {string} alt
 * @property {number} [width] in pixels, where it is known
 * @property {number} [height]
 */

const MEDIUM =
  /<a href="([^"]*)"([^>]*)><img src="([^"]*)" alt="([^"]*)"[^>]*><\/a>|<(audio|video) controls src="([^"]*)"><\/\5>/g;
const NAMES = { "&": "amp", "<": "lt", ">": "gt", '"': "quot" };
const SIGNS = { amp: "&", lt: "<", gt: ">", quot: '"', "#x27": "'", "#39": "'" };

/** @param {string} text as it stands in an attribute */
const unescaped = (text) => text.replace(/&(amp|lt|gt|quot|#x27|#39);/g, (_, name) => SIGNS[name]);

/** @param {string} text @returns {string} as it stands in an attribute */
const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&${NAMES[sign]};`);

/** @param {string} content of an answer @returns {{text: string, media: Medium[]}} what is read, and what is seen */
export function divided(content) {
  if (!content.includes('<a href="') && !content.includes(" controls src=")) return { text: content, media: [] };
  /** @type {Medium[]} */
  const media = [];
  const text = content.replace(MEDIUM, (_, href, more, src, alt, kind, sound) => {
    media.push(sound === undefined ? picture(href, more, src, alt) : heard(kind, unescaped(sound)));
    return "";
  });
  return { text: media.length ? text.trim() : content, media };
}

/** @param {string[]} urls of pictures that came without a word @param {string} alt @returns {string} as others come */
export const written = (urls, alt) =>
  urls.map((url) => `<a href="${escaped(url)}"><img src="${escaped(url)}" alt="${escaped(alt)}"></a>`).join("\n");

const OURS = /^\/(media|images|thumbnail|files)\/[^/]/;

/** Whether the page may show it by itself: ours, or in the address. Whatever else there is becomes a link. */
export function isHere(/** @type {string} */ url) {
  if (/^data:image\/(png|jpeg|gif|webp|avif);base64,\S*$/.test(url)) return true;
  // What begins like ours may lead elsewhere, by "..", or in a list of addresses, by a blank.
  return OURS.test(url) && !/\s/.test(url) && OURS.test(new URL(url, location.origin).pathname);
}

/** @param {string} href @param {string} more attributes @param {string} src @param {string} alt @returns {Medium} */
function picture(href, more, src, alt) {
  const size = (/** @type {string} */ name) => Number(new RegExp(`data-${name}="(\\d+)"`).exec(more)?.[1]) || undefined;
  const [url, seen] = [href, src].map(unescaped);
  const small = isHere(seen) ? seen : url;
  return { kind: "image", url, small, alt: unescaped(alt), width: size("width"), height: size("height") };
}

/** @param {"audio" | "video"} kind @param {string} url @returns {Medium} */
const heard = (kind, url) => ({ kind, url, small: url, alt: "" });
