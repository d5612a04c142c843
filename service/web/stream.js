/** Server-sent events as they arrive: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** The service sends a comment at least every 15 seconds; a stream that is silent for this long is dead. */
const SILENCE = 90_000;

/**
 * A parser that takes text however it was cut and returns the events that are complete. An event without an
 * id of its own has that of the one before it, as the specification wants it.
 * @returns {(text: string) => {id: string, data: string}[]}
 */
export function parser() {
  let rest = "";
  let id = "";
  let afterReturn = false;
  /** @type {string[]} */
  let data = [];

  /** @param {string} line @param {{id: string, data: string}[]} found */
  function take(line, found) {
    if (line.startsWith("data:")) data.push(value(line));
    if (line.startsWith("id:")) id = value(line);
    if (line !== "" || data.length === 0) return;
    found.push({ id, data: data.join("\n") });
    data = [];
  }

  return (text) => {
    if (text === "") return [];
    // "\r" ends a line at once; should "\n" follow, even in the next piece, it belongs to it.
    const fresh = afterReturn && text[0] === "\n" ? text.slice(1) : text;
    afterReturn = text.endsWith("\r");
    const lines = (rest + fresh).split(/\r\n|\r|\n/);
    rest = lines.pop() ?? "";
    /** @type {{id: string, data: string}[]} */
    const found = [];
    for (const line of lines) take(line, found);
    return found;
  };
}

/** @param {string} line @returns {string} what stands after the colon, and one blank that may follow it */
const value = (line) => line.slice(line.indexOf(":") + 1).replace(/^ /, "");

/** @typedef {Record<string, any> & {type?: string}} Event */

/**
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{id: string, event: Event}>} what is not JSON is left out
 */
export async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parse = parser();
  try {
    for (;;) {
      const { done, value } = await before(SILENCE, reader.read());
      if (done) return;
      for (const { id, data } of parse(decoder.decode(value, { stream: true }))) {
        const event = decoded(data);
        if (event) yield { id, event };
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} data @returns {Event | null} */
function decoded(data) {
  try {
    const event = JSON.parse(data);
    return typeof event === "object" ? event : null;
  } catch {
    return null;
  }
}

/** @template T @param {number} milliseconds @param {Promise<T>} promise @returns {Promise<T>} */
function before(milliseconds, promise) {
  let timer = 0;
  const silence = new Promise((_, reject) => {
    timer = window.setTimeout(() => reject(new Error("silent")), milliseconds);
  });
  return /** @type {Promise<T>} */ (Promise.race([promise, silence])).finally(() => clearTimeout(timer));
}
