/** Which passages of documents an answer rests on: a list that folds out. */
import { element } from "./dom.js";
import { say } from "./messages.js";

/** @typedef {{file: string, bucket: string, snippet: string, page?: number, last_page?: number, title?: string}} Source of the event */

/** @param {Source[] | null} sources @returns {HTMLElement[]} nothing, where there are none */
export function sourcesShown(sources) {
  if (!sources?.length) return [];
  /** @type {Map<string, Source[]>} */
  const files = new Map();
  for (const source of sources) files.set(addressOf(source), [...(files.get(addressOf(source)) ?? []), source]);
  const several = files.size > 1 ? say("ofFiles", { count: files.size }) : "";
  const summary = element("summary", {}, say("sources", { count: sources.length }), several);
  const passages = element("div", {}, ...[...files.values()].map(ofFile));
  return [element("details", { className: "sources" }, summary, passages)];
}

/** @param {Source} source */
const addressOf = ({ bucket, file }) => `/files/${encodeURIComponent(bucket)}/media/${encodeURIComponent(file)}`;

/** @param {string} href @param {string} text */
const link = (href, text) => element("a", { href, target: "_blank", rel: "noopener" }, text);

/** @param {Source[]} sources of one file */
function ofFile(sources) {
  const [{ file }] = sources;
  const name = element("h3", {}, link(addressOf(sources[0]), file));
  return element("section", {}, name, element("ol", { role: "list" }, ...sources.map(passage)));
}

/** @param {Source} source */
function passage(source) {
  const { file, snippet, page, last_page: last, title } = source;
  const href = addressOf(source);
  const pages = last ? say("pagesTo", { number: page, last }) : page && say("page", { number: page });
  const label = pages || title || "";
  const place = page && /\.pdf$/i.test(file) ? link(`${href}#page=${page}`, label) : element("span", {}, label);
  return element("li", {}, ...(label ? [place] : []), element("q", {}, snippet));
}
