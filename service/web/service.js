/** The service's routes, as functions. */
import { events } from "./stream.js";

const BASE = "/backend-api/v2";

/** The service said no; `message` is its own and says what to do. */
export class Refused extends Error {
  /** @param {string} message @param {string} code */
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

/**
 * @typedef {object} Provider
 * @property {string} name
 * @property {string} label
 * @property {number} [live] 0: it does not answer now
 * @property {boolean} [active_by_default] false: it cannot be chosen
 * @property {string | null} [reason] why it cannot, and what to do
 */
/** @typedef {{id: string, label?: string, default?: boolean}} Model */

/** @returns {Promise<Provider[]>} */
export const providers = async () => (await request("/providers")).json();

/** @param {string} provider @returns {Promise<Model[]>} flat, whether the service groups them or not */
export async function models(provider) {
  const found = await (await request(`/models/${encodeURIComponent(provider)}`)).json();
  return found.flatMap((/** @type {any} */ item) => item.models ?? [item]);
}

/** @param {string} text Markdown @returns {Promise<string>} HTML that is safe to show */
export const rendered = async (text) => (await (await request("/render", { text })).json()).html;

/** @param {object} body @param {AbortSignal} signal @returns {AsyncGenerator<Record<string, any>>} */
export async function* conversation(body, signal) {
  const response = await request("/conversation", body, signal);
  if (response.body) yield* events(response.body);
}

/** @param {string} path @param {object} [body] @param {AbortSignal} [signal] @returns {Promise<Response>} */
async function request(path, body, signal) {
  const response = await fetch(BASE + path, {
    method: body ? "POST" : "GET",
    headers: body ? { "content-type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal,
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({ error: null }));
  throw new Refused(error?.message ?? `${response.status} ${response.statusText}`, error?.code ?? "");
}
