/** One turn, read to its end: asked for once, read on however often the connection breaks, stopped by hand. */
import { Patience } from "./patience.js";
import { Refused, conversation, rest, stop } from "./service.js";
import { events } from "./stream.js";
import { conclude, fail, fold } from "./turn.js";

/** @typedef {import("./turn.js").Answer} Answer */
/** @typedef {{body: object, key: string}} Question what is sent, and what makes sending it twice one turn */
/**
 * @typedef {object} Told who wants to know
 * @property {(event: import("./stream.js").Event) => void} changed the answer has taken this event
 * @property {() => void} reached the service answers
 * @property {(what: "readingOn" | "askingAgain") => void} broke it does not, and will be tried again
 */

/** Tries in vain, a few seconds for a question, and minutes for an answer. */
const ASKING = 3;
const READING = 22;

/** Milliseconds that the last words of a turn may take which was stopped. */
const LAST_WORDS = 1_000;

export class Reading {
  #leave = new AbortController();
  #patience = new Patience();
  #heard = false;
  #stopping = false;
  #leaving = false;

  /** @param {Answer} answer @param {Told} told @param {Question | null} question null: it was asked before */
  constructor(answer, told, question) {
    this.answer = answer;
    this.told = told;
    this.question = question;
  }

  /** Leaves the answer in another state than `running`, unless the reader leaves. */
  async run() {
    const { answer } = this;
    while (answer.state === "running") {
      const problem = await this.#read();
      if (answer.state !== "running" || (this.#leaving && answer.turn)) return;
      if (this.#leave.signal.aborted) answer.state = "stopped";
      else if (answer.reason && !problem) conclude(answer);
      else if (!this.#passes(problem)) this.#giveUp(problem);
      else await this.#wait();
    }
  }

  /** The turn ends here, for the service as well; what was said is kept. */
  stop() {
    if (this.#stopping) return;
    this.#stopping = true;
    if (this.answer.turn) this.#end(this.answer.turn);
    setTimeout(() => this.#leave.abort(), LAST_WORDS);
  }

  /** Reads no further, as soon as the question has arrived: the turn goes on, and can be read again. */
  leave() {
    this.#leaving = true;
    if (this.answer.turn) this.#leave.abort();
  }

  /** @param {string} turn */
  #end(turn) {
    stop(turn).then(
      () => this.#patience.hurry(),
      () => this.#leave.abort(),
    );
  }

  /** @returns {Promise<unknown>} what has broken the stream, if it did not just end */
  async #read() {
    try {
      const response = await this.#response();
      this.#reached(response.headers.get("x-turn-id") ?? "");
      if (response.status === 204) this.answer.reason ||= "interrupted";
      else if (response.body) await this.#listen(response.body);
      return null;
    } catch (problem) {
      return problem;
    }
  }

  #response() {
    const { answer, question } = this;
    if (answer.turn || !question) return rest(answer.turn, answer.last, this.#leave.signal);
    return conversation(question.body, question.key, this.#leave.signal);
  }

  /** @param {string} turn the id, which is remembered at once: what follows it may never arrive */
  #reached(turn) {
    if (this.#stopping && turn && !this.answer.turn) this.#end(turn);
    this.answer.turn ||= turn;
    if (this.#leaving) this.#leave.abort();
    this.told.reached();
  }

  /** @param {ReadableStream<Uint8Array>} stream */
  async #listen(stream) {
    for await (const { id, event } of events(stream)) {
      fold(this.answer, id, event);
      this.#heard = true;
      if (id) this.#patience.restore();
      this.told.changed(event);
    }
  }

  /** Whether trying again makes sense; what was heard without the id of a turn cannot be read on. */
  #passes(/** @type {unknown} */ problem) {
    const { turn } = this.answer;
    if (this.#heard && !turn) return false;
    return !(problem instanceof Refused) || (turn !== "" && problem.status >= 500);
  }

  async #wait() {
    const { turn } = this.answer;
    this.told.broke(turn ? "readingOn" : "askingAgain");
    if (await this.#patience.pause(turn ? READING : ASKING, this.#leave.signal)) return;
    if (!this.#leave.signal.aborted) this.#giveUp(null);
  }

  #giveUp(/** @type {unknown} */ problem) {
    const { turn } = this.answer;
    if (this.answer.reason) conclude(this.answer);
    else if (!(problem instanceof Refused)) fail(this.answer, turn || this.#heard ? "broken" : "unreachable");
    else if (turn && problem.status === 404) fail(this.answer, "gone");
    else fail(this.answer, "failed", problem.message);
  }
}
