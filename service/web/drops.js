/** Files that come by hand: dropped anywhere on the page, or pasted. */
import { element, icon } from "./dom.js";
import { say } from "./messages.js";

/** @param {DragEvent} event */
const hasFiles = (event) => event.dataTransfer?.types.includes("Files") ?? false;

export class Drops {
  /** @param {(files: File[], folders: string[]) => void} dropped */
  constructor(dropped) {
    this.dropped = dropped;
    this.sheet = element("div", { id: "drop", hidden: true }, element("p", {}, icon("clip"), say("drop")));
    document.body.append(this.sheet);
    addEventListener("dragenter", (event) => this.#over(event));
    addEventListener("dragover", (event) => this.#over(event));
    addEventListener("dragleave", (event) => event.relatedTarget || this.#show(false));
    addEventListener("drop", (event) => this.#drop(event));
  }

  /** Whatever is done elsewhere, a file that is dropped beside its place must not replace the page. */
  #over(/** @type {DragEvent} */ event) {
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = isFree() ? "copy" : "none";
    this.#show(isFree());
  }

  #drop(/** @type {DragEvent} */ event) {
    if (!event.dataTransfer || !hasFiles(event)) return;
    event.preventDefault();
    this.#show(false);
    if (!isFree()) return;
    const items = [...event.dataTransfer.items].filter(({ kind }) => kind === "file");
    const folders = items.flatMap((item) =>
      item.webkitGetAsEntry()?.isDirectory ? [item.webkitGetAsEntry()?.name ?? ""] : [],
    );
    this.dropped(
      [...event.dataTransfer.files].filter(({ name }) => !folders.includes(name)),
      folders,
    );
  }

  #show(/** @type {boolean} */ shown) {
    this.sheet.hidden = !shown;
  }
}

/** While a dialog is open, nothing is taken that would be hidden behind it. */
const isFree = () => !document.querySelector("dialog[open]");

/**
 * Programs put a picture of a text beside the text: then the text is meant. Some put a file's name beside the file.
 * @param {DataTransfer | null} clipboard @returns {File[]}
 */
export function pasted(clipboard) {
  const files = [...(clipboard?.files ?? [])];
  const text = clipboard?.getData("text/plain").trim() ?? "";
  return files.some(({ name }) => text.includes(name)) || !text ? files : [];
}
