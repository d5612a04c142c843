/** The service's routes, as functions. */
export const BASE = "/backend-api/v2";

/** The service said no; `message` is its own and says what to do. */
export class Refused extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The service does not know who asks: where keys are needed, this one came without, or with none that is valid. */
class Nobody extends Refused {}

/** @type {(() => Promise<void>) | null} */
let admission = null;

/**
 * What a page does where the service knows nobody; what was refused is then asked once more.
 * @param {() => Promise<void>} admit resolves when somebody has logged in
 */
export function whenNobody(admit) {
  admission = admit;
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
export const rendered = async (text) => (await (await request("/render", { body: { text } })).json()).html;

/**
 * Asks. The same question with the same key is the same turn, however often it is sent.
 * @param {object} body @param {string} key @param {AbortSignal} signal
 */
export const conversation = (body, key, signal) =>
  request("/conversation", { body, signal, headers: { "idempotency-key": key } });

/**
 * The rest of a turn, after the event with this id; 204: nothing is left. This is `fetch` and not EventSource,
 * which does not tell "nothing is left" from "not there" from a proxy's 502.
 * @param {string} turn @param {string} last @param {AbortSignal} signal
 */
export function rest(turn, last, signal) {
  const after = last && `?after=${encodeURIComponent(last)}`;
  return request(`/turns/${encodeURIComponent(turn)}${after}`, { signal });
}

/** Ends a turn, also when the page is just being left. @param {string} turn */
export const stop = (turn) =>
  request(`/turns/${encodeURIComponent(turn)}/stop`, { body: {}, keepalive: true });

/** @typedef {{user: string | null, admin: boolean, needs_key: boolean}} Session */

/** @returns {Promise<Session>} who one is; `user` null: nobody, before logging in */
export const session = async () => (await sent("/session")).json();

/** @param {string} key @returns {Promise<Session>} */
export const logIn = async (key) => (await sent("/session", { body: { key } })).json();

/** @param {object} wish as OpenAI has it @param {AbortSignal} signal @returns {Promise<Response>} sound, as it is made */
export const speech = (wish, signal) => request("/v1/audio/speech", { body: wish, signal });

/** Where a browser finds sound without asking for it. @param {Record<string, string>} query */
export const speechAddress = (query) => `${BASE}/synthesize/default?${new URLSearchParams(query)}`;

/** @typedef {{id: string, name: string, language: string, gender: string, speaker: string}} Voice */

/** @returns {Promise<Voice[]>} */
export const voices = async () => (await (await request("/v1/audio/voices")).json()).voices;

export const logOut = () => sent("/session", { method: "DELETE" });

/** @param {Record<string, string>} query @returns {Promise<any>} sums by day, model, provider and user */
export const stats = async (query) => (await request(`/stats?${new URLSearchParams(query)}`)).json();

/** @param {Record<string, string>} query @returns {Promise<any[]>} the parts of each day */
export const series = async (query) => (await request(`/stats/series?${new URLSearchParams(query)}`)).json();

/** @param {boolean} all everybody's turns @returns {Promise<any[]>} */
export const running = async (all) => (await request(`/turns?all=${all}`)).json();

/** Where a browser fetches the ledger from. @param {Record<string, string>} query */
export const ledgerAddress = (query) => `${BASE}/ledger?${new URLSearchParams(query)}`;

/** Where a browser fetches what is kept of somebody from. @param {string} user */
export const personAddress = (user) => `${BASE}/persons/${encodeURIComponent(user)}/export`;

/** @typedef {Omit<RequestInit, "body"> & {body?: object}} Options */

/** @param {string} path @param {Options} [options] @returns {Promise<Response>} */
export const request = (path, options) => admitted(() => sent(path, options));

/** What nobody was refused is asked again by somebody. @template T @param {() => Promise<T>} ask @returns {Promise<T>} */
export async function admitted(ask) {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof Nobody) || !admission) throw error;
  }
  await admission();
  return ask();
}

/** @param {string} path @param {Options} [options] @returns {Promise<Response>} */
async function sent(path, { body, headers, ...options } = {}) {
  const response = await fetch(path.startsWith("/v1/") ? path : BASE + path, {
    method: body ? "POST" : "GET",
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
    body: body && JSON.stringify(body),
    // Two readers of one address would wait for each other at the browser's cache.
    cache: "no-store",
    ...options,
  });
  if (response.ok) return response;
  throw problemOf(response.status, response.statusText, await response.json().catch(() => null));
}

/** @param {number} status @param {string} reason @param {any} said what came with it, if that was JSON */
export function problemOf(status, reason, said) {
  const error = said?.error;
  const words = `${status} ${reason}`;
  if (!error && status >= 500) return new Error(words); // a proxy's: the service is not there
  const Kind = error && status === 401 ? Nobody : Refused; // a proxy's 401 is no matter of our keys
  return new Kind(error?.message ?? words, status);
}
