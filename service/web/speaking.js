/** Answers that are heard: one at a time, from the first sentence on, until somebody stops it. */
import { button, element, icon } from "./dom.js";
import { say } from "./messages.js";
import { play } from "./playing.js";
import { Refused, speech, speechAddress } from "./service.js";
import { preferences } from "./store.js";

/** @typedef {{text: string, turn: string}} Spoken Markdown, and the turn in which it was said, if any */
/** @typedef {"silent" | "preparing" | "speaking"} State */

/** @type {{button: SpeakButton, audio: HTMLAudioElement, leave: AbortController} | null} the page has one voice */
let current = null;

addEventListener("pagehide", hush);

/** Whatever is being said ends here, for the service as well. @returns {boolean} something was being said */
export function hush() {
  const was = current;
  current = null;
  was?.leave.abort();
  was?.button.show("silent");
  return was !== null;
}

/** Takes effect at once, in what is being said. */
export function setRate() {
  if (current) current.audio.defaultPlaybackRate = current.audio.playbackRate = preferences.rate;
}

export class SpeakButton {
  /** @type {State} */
  state = "silent";

  /**
   * @param {() => Spoken} source @param {(problem: string) => void} failed "": nothing is wrong (any more)
   * @param {string} [label] @param {string} [name] for screen readers
   */
  constructor(source, failed, label = say("speak"), name = say("speakAnswer")) {
    this.source = source;
    this.failed = failed;
    this.label = label;
    this.name = name;
    this.node = button("speak", label, () => this.#pressed());
    this.node.classList.add("speak");
    this.show("silent");
  }

  /** @param {State} state */
  show(state) {
    this.state = state;
    const words = { silent: this.label, preparing: say("preparing"), speaking: say("stopSpeaking") };
    this.node.replaceChildren(icon(state === "silent" ? "speak" : "stop"), element("span", {}, words[state]));
    this.node.setAttribute("aria-label", state === "silent" ? this.name : say("stopSpeaking"));
    this.node.dataset.state = state;
  }

  async #pressed() {
    const stops = this.state !== "silent";
    hush();
    if (stops) return;
    const audio = new Audio();
    audio.addEventListener("playing", () => own === current && this.show("speaking"));
    audio.addEventListener("timeupdate", () => own === current && !this.node.isConnected && hush());
    const own = (current = { button: this, audio, leave: new AbortController() });
    this.failed("");
    this.show("preparing");
    setRate();
    try {
      await play(audio, sound(this.source()), own.leave.signal);
    } catch (error) {
      if (!own.leave.signal.aborted) this.failed(inWords(error));
    }
    if (current === own) hush();
  }
}

/** @param {Spoken} spoken @returns {import("./playing.js").Sound} */
function sound({ text, turn }) {
  const voice = preferences.voice || undefined;
  return {
    ask: (signal) => speech({ input: text, voice }, signal),
    address: turn && speechAddress({ turn, ...(voice && { voice }) }),
  };
}

/** @param {unknown} error @returns {string} */
const inWords = (error) => (error instanceof Refused ? error.message : say("speechBroke"));
