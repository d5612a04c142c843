/** Files on their way to the service, and what it says while it reads them. */
import { Refused, admitted, problemOf, request } from "./service.js";

/** @typedef {{name: string, width?: number, height?: number}} Added a picture, a sound or a film, as the service calls it */
/** @typedef {{size: number, pages: number}} Read characters, and pages where it has some */

/** Breaks of the connection in a row, after which nobody waits any more until a file has been read. */
const BREAKS = 5;

/** @param {string} bucket */
const address = (bucket) => `/backend-api/v2/files/${encodeURIComponent(bucket)}`;

/**
 * Sends a file into a bucket. This is XMLHttpRequest and not `fetch`, which does not tell how much has been sent.
 * @param {string} bucket @param {File} file @param {(share: number) => void} sent from 0 to 1
 * @param {AbortSignal} signal @returns {Promise<{files: string[], media: Added[]}>}
 */
export const upload = (bucket, file, sent, signal) => admitted(() => sending(bucket, file, sent, signal));

/** @param {string} bucket */
export const discard = (bucket) =>
  request(`/files/${encodeURIComponent(bucket)}`, { method: "DELETE", keepalive: true });

/** @param {string} bucket @param {File} file @param {(share: number) => void} sent @param {AbortSignal} signal */
function sending(bucket, file, sent, signal) {
  const form = new FormData();
  // Servers split a form's headers at semicolons; the service would put something else in their place anyway.
  form.append("files", file, file.name.replaceAll(";", "_"));
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open("POST", address(bucket));
    asked.setRequestHeader("idempotency-key", bucket); // without one, `server.legacy = "on"` answers as to old clients
    asked.responseType = "json";
    asked.upload.onprogress = ({ loaded, total }) => sent(loaded / (total || 1));
    asked.onload = () => {
      if (asked.status === 200 && asked.response) resolve(asked.response);
      else reject(problemOf(asked.status, asked.statusText, asked.response));
    };
    asked.onerror = () => reject(new Error("broken"));
    asked.onabort = () => reject(signal.reason);
    signal.addEventListener("abort", () => asked.abort());
    asked.send(form);
  });
}

/**
 * Waits until the service has read what is in a bucket.
 * @param {string} bucket @param {AbortSignal} signal @returns {Promise<Read>} rejected with the service's words
 */
export function read(bucket, signal) {
  const source = new EventSource(`${address(bucket)}/stream`);
  let breaks = 0;
  let pages = 0;
  /** @type {Promise<Read>} */
  const over = new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED || ++breaks > BREAKS) reject(new Error("broken"));
    };
    source.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      breaks = 0;
      pages = event.pages ?? pages;
      if (event.error) reject(new Refused(event.error.message, 0));
      else if (event.action === "done") resolve({ size: event.size, pages });
    };
  });
  return over.finally(() => source.close());
}
