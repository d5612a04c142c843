/** The parts of a question: words, and files that the service keeps. No elements, no network here. */

/**
 * @typedef {object} Part a piece of a message, as the wire contract has it (section 4.2)
 * @property {"text"} [type]
 * @property {string} [text]
 * @property {string} [bucket_id] where the file is
 * @property {string} [name] of a picture or a sound; a document goes by its bucket
 * @property {string} [title] what its owner calls it
 * @property {string} [url] where a browser finds it
 * @property {number} [width] of a picture, in pixels
 * @property {number} [height]
 */
/** @typedef {string | Part[] | null} Content */

const SOUNDS = /\.(wav|mp3|flac|ogg|opus|m4a)$/i;
const FILMS = /\.(mp4|mov|webm|mkv|avi|ogv|mpe?g)$/i;

/** @param {Content | undefined} content @returns {Part[]} its files */
export const filesOf = (content) => (Array.isArray(content) ? content.filter((part) => part.bucket_id) : []);

/** @param {Part[]} files @param {string} text @returns {string | Part[]} a question; plain words stay what they are */
export function contentOf(files, text) {
  if (!files.length) return text;
  return text ? [...files, { type: "text", text }] : files;
}

/** @param {Part} part @returns {string} what a reader calls the file */
export const titleOf = ({ title, name, url }) => title || name || decoded(url?.split(/[?#]/)[0].split("/").pop() ?? "");

/** @param {Part} part @returns {"image" | "audio" | "video" | "document"} */
export function kindOf({ name = "", width }) {
  if (width) return "image";
  if (SOUNDS.test(name)) return "audio";
  return FILMS.test(name) ? "video" : "document";
}

/** @param {Part} part @returns {string} the address of its small picture */
export const thumbnailOf = (part) => addressOf(part).replace("/media/", "/thumbnail/");

/** @param {Part} part @returns {string} where the file is; never another host, whatever an imported chat says */
export const addressOf = ({ url = "" }) => (/^\/files\/[^/]+\/media\/[^/]+$/.test(url) ? url : "");

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
