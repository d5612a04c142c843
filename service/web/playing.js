/** Plays sound while it arrives: the first sentence is heard while the last is still being made. */

const TYPE = "audio/mpeg";

/** Milliseconds until sound for which there was no room is offered again. */
const PAUSE = 1_000;

/** Telephones of Apple have the managed one alone. @type {typeof MediaSource | undefined} */
const Source = /** @type {any} */ (window).ManagedMediaSource ?? window.MediaSource;

/**
 * @typedef {object} Sound
 * @property {(signal: AbortSignal) => Promise<Response>} ask
 * @property {string} address where the same is found; "" if it has none
 */

/**
 * Begins at once: what begins later a browser may take for nobody's wish.
 * @param {HTMLAudioElement} audio @param {Sound} sound @param {AbortSignal} signal ends it, for the service as well
 * @returns {Promise<void>} when all has been heard; rejected with what went wrong, when the rest has been heard
 */
export async function play(audio, sound, signal) {
  try {
    const problem = Source?.isTypeSupported(TYPE)
      ? await streamed(audio, sound, signal)
      : await direct(audio, sound, signal);
    await ended(audio, signal);
    if (problem) throw problem;
  } finally {
    audio.pause();
    if (audio.src.startsWith("blob:")) URL.revokeObjectURL(audio.src);
    audio.removeAttribute("src");
    audio.load(); // a browser leaves what it was loading
  }
}

/**
 * @param {HTMLAudioElement} audio @param {Sound} sound @param {AbortSignal} signal
 * @returns {Promise<unknown>} what cut it short, if anything did
 */
async function streamed(audio, sound, signal) {
  const source = new /** @type {typeof MediaSource} */ (Source)();
  audio.disableRemotePlayback = true; // managed sources want that
  audio.src = URL.createObjectURL(source);
  audio.play().catch(() => {}); // whoever stops it knows
  const [{ body }] = await Promise.all([sound.ask(signal), event(source, "sourceopen")]);
  const buffer = source.addSourceBuffer(TYPE);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return null;
      await append(buffer, value, signal);
    }
  } catch (error) {
    if (!buffer.buffered.length) throw error;
    return error;
  } finally {
    if (source.readyState === "open") source.endOfStream();
  }
}

/** Browsers hold about half an hour of speech; of the rest, what was heard makes room. */
async function append(/** @type {SourceBuffer} */ buffer, /** @type {any} */ piece, /** @type {AbortSignal} */ signal) {
  while (!signal.aborted) {
    try {
      buffer.appendBuffer(piece);
      return await event(buffer, "updateend");
    } catch (error) {
      if (/** @type {Error} */ (error).name !== "QuotaExceededError") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  throw signal.reason;
}

/** Without such sources: from its address, else when all of it is there. */
async function direct(
  /** @type {HTMLAudioElement} */ audio,
  /** @type {Sound} */ { ask, address },
  /** @type {AbortSignal} */ signal,
) {
  try {
    audio.src = address;
    if (address) return await audio.play();
  } catch {
    // It has no address any more, or the service refuses: then the next question has its words.
  }
  if (signal.aborted) throw signal.reason;
  audio.src = URL.createObjectURL(await (await ask(signal)).blob());
  return audio.play();
}

/** @param {HTMLAudioElement} audio @param {AbortSignal} signal @returns {Promise<void>} */
function ended(audio, signal) {
  if (audio.ended) return Promise.resolve();
  if (audio.error || signal.aborted) return Promise.reject(audio.error ?? signal.reason);
  return new Promise((resolve, reject) => {
    audio.addEventListener("ended", () => resolve(), { once: true });
    audio.addEventListener("error", () => reject(audio.error), { once: true });
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @param {EventTarget} target @param {string} name @returns {Promise<void>} */
const event = (target, name) =>
  new Promise((resolve) => target.addEventListener(name, () => resolve(), { once: true }));
