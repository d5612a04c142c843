/** The address says which chat is open, so that it can be kept, sent, and gone back to. */

const CHAT = /^\/chat\/([^/]+)$/;

/** @returns {string | null} the id of the chat that the address names; null: a new one */
export function idInAddress() {
  const found = CHAT.exec(location.pathname);
  return found && decodeURIComponent(found[1]);
}

/** @param {string} id */
export const addressOf = (id) => `/chat/${encodeURIComponent(id)}`;

/** @param {string | null} id null: a new chat @param {boolean} [isSame] nothing was left that one could go back to */
export function showAddress(id, isSame = false) {
  const address = id === null ? "/" : addressOf(id);
  if (location.pathname === address) return;
  if (isSame) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
}

/** Old links to shared chats are `/chat/#<share id>`; what is shared lies elsewhere. @returns {boolean} one goes on */
export function leaveForShared() {
  const shared = /^#([\w-]{8,200})$/.exec(location.hash);
  if (!shared || !location.pathname.startsWith("/chat")) return false;
  location.replace(`/share/${shared[1]}`);
  return true;
}

/** @param {(id: string | null) => void} shown somebody went back or forward */
export const whenGone = (shown) => addEventListener("popstate", () => leaveForShared() || shown(idInAddress()));
