/** Server-sent events as they arrive: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** The service sends a comment at least every 15 seconds; a stream that is silent for this long is dead. */
const SILENCE = 90_000;

/**
 * A parser that takes text however it was cut and returns the data of the events that are complete.
 * @returns {(text: string) => string[]}
 */
export function parser() {
  let rest = "";
  let afterReturn = false;
  /** @type {string[]} */
  let data = [];

  /** @param {string} line @param {string[]} found */
  function take(line, found) {
    if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    if (line !== "" || data.length === 0) return;
    found.push(data.join("\n"));
    data = [];
  }

  return (text) => {
    if (text === "") return [];
    // "\r" ends a line at once; should "\n" follow, even in the next piece, it belongs to it.
    const fresh = afterReturn && text[0] === "\n" ? text.slice(1) : text;
    afterReturn = text.endsWith("\r");
    const lines = (rest + fresh).split(/\r\n|\r|\n/);
    rest = lines.pop() ?? "";
    /** @type {string[]} */
    const found = [];
    for (const line of lines) take(line, found);
    return found;
  };
}

/**
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<Record<string, any>>} the events' JSON; what is not JSON is left out
 */
export async function* events(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parse = parser();
  try {
    for (;;) {
      const { done, value } = await before(SILENCE, reader.read());
      if (done) return;
      for (const data of parse(decoder.decode(value, { stream: true }))) {
        const event = decoded(data);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} data @returns {Record<string, any> | null} */
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
