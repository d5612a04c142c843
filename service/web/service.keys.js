/** The service's routes for keys, as functions: for whoever runs it. */
import { request } from "./service.js";

/** @typedef {{requests_per_minute?: number, tokens_per_minute?: number, turns_at_once?: number}} Limits */
/** @typedef {{day?: number, month?: number}} Budget in US dollars */
/**
 * @typedef {object} Key times in seconds since 1970
 * @property {string} id
 * @property {string} user
 * @property {"user" | "admin"} role
 * @property {string} name
 * @property {number} created_at
 * @property {number | null} expires_at
 * @property {"revoked" | "expired" | null} over why it opens nothing any more
 * @property {string[] | null} models
 * @property {string[] | null} providers
 * @property {Limits} limits
 * @property {Budget} budget
 */
/** @typedef {Key & {key: string}} Made with its text, which is told this once */

const path = (/** @type {string} */ id) => `/keys/${encodeURIComponent(id)}`;

/** @returns {Promise<Key[]>} the oldest first */
export const keys = async () => (await request("/keys")).json();

/** @param {object} wanted user, role, name, expires_at, limits, budget, models @returns {Promise<Made>} */
export const make = async (wanted) => (await request("/keys", { body: wanted })).json();

/** @param {string} id */
export const revoke = (id) => request(path(id), { method: "DELETE" });

/** @param {string} id @returns {Promise<Made>} with a new secret; the old one opens nothing any more */
export const rotate = async (id) => (await request(`${path(id)}/rotate`, { body: {} })).json();
