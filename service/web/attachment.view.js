/** How a file looks that goes with the next question: what it is, how far it has come, and a way to remove it. */
import { element, icon } from "./dom.js";
import { language, say } from "./messages.js";

const percent = new Intl.NumberFormat(language, { style: "percent" });
/** Types that browsers show; what they cannot show has a sign like documents have. */
const PICTURES = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;
const STEP = 1000;

export class AttachmentView {
  /** The state that is shown. */
  state = "";

  /** @param {import("./attachment.js").Attachment} attachment @param {{remove: () => void, again: () => void}} acts */
  constructor(attachment, acts) {
    this.attachment = attachment;
    const { file } = attachment;
    this.picture = PICTURES.test(file.type) ? URL.createObjectURL(file) : "";
    this.status = element("small");
    this.progress = element("progress", { max: 1, "aria-label": file.name });
    this.remove = element("button", { type: "button", className: "remove", onclick: acts.remove }, icon("close"));
    this.again = element("button", { type: "button", className: "again", onclick: acts.again }, icon("again"));
    this.again.setAttribute("aria-label", `${say("retry")}: ${file.name}`);
    this.again.title = say("retry");
    const drawn = emblem(file.name, this.picture);
    drawn.addEventListener("error", () => drawn.replaceWith(emblem(file.name, "")));
    const label = element("span", { className: "file" }, element("b", { title: file.name }, file.name), this.status);
    this.node = element("li", {}, drawn, label, this.again, this.remove, this.progress);
  }

  update() {
    const { state, share, pending, file } = this.attachment;
    this.state = state;
    this.node.dataset.state = state;
    this.status.textContent = this.#words();
    this.progress.hidden = !pending || state === "waiting";
    if (state === "sending" && share < 1) this.progress.value = share;
    else this.progress.removeAttribute("value");
    this.again.hidden = !this.attachment.mayWork;
    const label = say(pending ? "cancelFile" : "removeFile", { name: file.name });
    this.remove.setAttribute("aria-label", label);
    this.remove.title = label;
  }

  close() {
    this.node.remove();
    if (this.picture) URL.revokeObjectURL(this.picture);
  }

  #words() {
    const { state, share, problem, pages, file } = this.attachment;
    if (state === "sending") return share < 1 ? percent.format(share) : say("storing");
    if (state === "ready") return pages > 1 ? say("pages", { count: pages }) : sizeOf(file.size);
    return problem || say(state);
  }
}

/** @param {string} name @param {string} picture its address, if it is one @returns {HTMLElement} */
export function emblem(name, picture) {
  if (picture) return element("img", { src: picture, alt: "", className: "emblem" });
  const extension = /\.(\w{1,4})$/.exec(name)?.[1] ?? "";
  return element(
    "span",
    { className: "emblem", "aria-hidden": "true" },
    extension ? extension.toUpperCase() : icon("file"),
  );
}

/** @param {number} bytes @returns {string} such as "1.2 MB" */
function sizeOf(bytes) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const power = Math.min(Math.floor(Math.log(Math.max(bytes, 1)) / Math.log(STEP)), units.length - 1);
  const style = {
    style: "unit",
    unit: units[power],
    maximumSignificantDigits: 2,
    unitDisplay: power ? "short" : "long",
  };
  return new Intl.NumberFormat(language, /** @type {any} */ (style)).format(bytes / STEP ** power);
}
