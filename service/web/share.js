/** The dialog by which a chat is shown to whoever has the link, and to nobody any more. */
import { openDialog, statusLine } from "./dialog.js";
import { copyButton, element } from "./dom.js";
import { say } from "./messages.js";
import { share, unshare } from "./service.chats.js";

/** @param {string} id @returns {string} where a shared chat is read */
const addressOf = (id) => new URL(`/share/${encodeURIComponent(id)}`, location.href).href;

/** @param {{id: string, share: string | null}} chat @param {(share: string | null) => void} changed */
export function openShare(chat, changed) {
  const body = element("div", { className: "body" });
  const status = statusLine();
  /** @param {string | null} id @param {string} said */
  const show = (id, said) => {
    body.replaceChildren(...(id ? shared(addressOf(id), stop) : unshared(start)));
    status.textContent = said;
  };
  /** @param {() => Promise<string | null>} act @param {string} word */
  const attempt = async (act, word) => {
    try {
      const id = await act();
      changed(id);
      show(id, say(word));
      body.querySelector(id ? "button" : "button.primary")?.focus();
    } catch (error) {
      status.textContent = /** @type {Error} */ (error).message;
    }
  };
  const start = () => attempt(async () => (await share(chat.id)).share_id, "nowShared");
  const stop = () => attempt(async () => (await unshare(chat.id), null), "nowUnshared");
  show(chat.share, "");
  openDialog(say("shareChat"), body, status);
}

/** @param {() => void} start */
const unshared = (start) => [
  element("p", {}, say("shareMeans")),
  element("button", { type: "button", className: "primary", onclick: start }, say("makeLink")),
];

/** @param {string} address @param {() => void} stop */
function shared(address, stop) {
  const field = element("input", { value: address, readOnly: true, "aria-label": say("link") });
  field.addEventListener("focus", () => field.select());
  const copy = copyButton(say("copyLink"), say("copied"), () => address);
  const link = element("a", { href: address, target: "_blank", rel: "noopener" }, say("openLink"));
  const end = element("button", { type: "button", className: "plain danger", onclick: stop }, say("stopSharing"));
  return [
    element("p", {}, say("sharedMeans")),
    element("div", { className: "link" }, field, copy),
    element("div", { className: "acts" }, link, end),
  ];
}
