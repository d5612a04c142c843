/** The service's routes for chats, as functions. */
import { BASE, request } from "./service.js";

/** @typedef {import("./chat.js").Listed} Listed */
/** @typedef {{q?: string, before?: string, archived?: boolean, starred?: boolean, limit?: number}} Wanted */

const path = (/** @type {string} */ id) => `/chats/${encodeURIComponent(id)}`;

/** @param {Wanted} wanted @param {AbortSignal} [signal] @returns {Promise<{chats: Listed[], next: string | null}>} */
export async function chats(wanted, signal) {
  const query = Object.entries(wanted).map(([name, value]) => [name, String(value)]);
  return (await request(`/chats?${new URLSearchParams(query)}`, { signal })).json();
}

/** @param {string} id @returns {Promise<any>} the chat with its whole tree */
export const chat = async (id) => (await request(path(id))).json();

/** @param {string} id @param {object} changes of title, starred, archived, settings, leaf @returns {Promise<Listed>} */
export const change = async (id, changes) =>
  (await request(path(id), { method: "PATCH", body: changes, keepalive: true })).json();

/** @param {string} id */
export const remove = (id) => request(path(id), { method: "DELETE" });

export const removeAll = () => request("/chats", { method: "DELETE" });

/** @param {string} id @returns {Promise<{share_id: string, url: string, expires: number | null}>} */
export const share = async (id) => (await request(`${path(id)}/share`, { method: "PUT", body: {} })).json();

/** @param {string} id */
export const unshare = (id) => request(`${path(id)}/share`, { method: "DELETE" });

/** Where a browser fetches a chat from. @param {string} id @param {"json" | "markdown"} format */
export const exportAddress = (id, format) => `${BASE}${path(id)}/export?format=${format}`;

export const allAddress = `${BASE}/chats/export`;

/** @typedef {{imported: number, skipped: {title: string, reason: string}[]}} Imported */

/** @param {object} exported by us, by gpt4free or by ChatGPT @returns {Promise<Imported>} */
export const importChats = async (exported) => (await request("/chats/import", { body: exported })).json();
