/** How the files of a question look: pictures small, sounds to be heard, documents by their names. */
import { emblem } from "./attachment.view.js";
import { element } from "./dom.js";
import { say } from "./messages.js";
import { addressOf, filesOf, kindOf, thumbnailOf, titleOf } from "./parts.js";
import { pictureButton } from "./pictures.js";

/** @typedef {import("./parts.js").Part} Part */

/** Pixels of the longer side of a picture in a question. */
const SMALL = 220;

/** @param {import("./parts.js").Content} content @returns {HTMLElement[]} a list of its files, if it has any */
export function filesShown(content) {
  const files = filesOf(content);
  if (!files.length) return [];
  const items = files.map((part) => element("li", { className: kindOf(part) }, shown(part)));
  return [element("ul", { className: "files", "aria-label": say("attachments") }, ...items)];
}

/** @param {Part} part @returns {HTMLElement} */
function shown(part) {
  const kind = kindOf(part);
  const src = addressOf(part);
  if (!src || kind === "document") return chip(part);
  if (kind !== "image") return element(kind, { src, controls: true, preload: "none", "aria-label": titleOf(part) });
  const { width, height } = part;
  return pictureButton(
    { kind, url: src, small: thumbnailOf(part), alt: titleOf(part), width, height },
    chip(part),
    SMALL,
  );
}

/** @param {Part} part @returns {HTMLElement} leads to the file */
function chip(part) {
  const title = titleOf(part);
  const label = [emblem(title, ""), element("b", {}, title)];
  const href = addressOf(part);
  return href
    ? element("a", { className: "chip", href, target: "_blank", rel: "noopener" }, ...label)
    : element("span", { className: "chip" }, ...label);
}
