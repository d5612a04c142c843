/** A chat is a tree of messages: variants are siblings, and what is read is a path. No elements here. */

/** @typedef {import("./turn.js").Message} Message */

/** One message in its place; `number` is the service's, null as long as that has not told it. */
export class Node {
  /** @param {Message | null} message null: the root, above the first message @param {Node | null} parent */
  constructor(message, parent) {
    this.message = /** @type {Message} */ (message);
    this.parent = parent;
    /** @type {number | null} */
    this.number = null;
    /** @type {Node[]} the newest last */
    this.children = [];
  }

  /** @param {Message} message @returns {Node} the message below this one, as its newest variant */
  add(message) {
    const made = new Node(message, this);
    this.children.push(made);
    return made;
  }

  /** @returns {Node[]} from the first message to this one */
  get path() {
    /** @type {Node[]} */
    const nodes = [];
    for (let node = /** @type {Node} */ (this); node.parent; node = node.parent) nodes.push(node);
    return nodes.reverse();
  }

  /** @returns {Node} where one comes who follows the newest variants from here */
  get end() {
    let node = /** @type {Node} */ (this);
    while (node.children.length) node = /** @type {Node} */ (node.children.at(-1));
    return node;
  }

  /** @returns {Node[]} this one and those in its place, the oldest first */
  get variants() {
    return this.parent?.children.filter(({ message }) => message.role === this.message.role) ?? [];
  }
}

/** @typedef {{number: number, parent: number | null, message: Message}} Told what the service says of a message */

export class Tree {
  root = new Node(null, null);
  /** @type {Map<number, Node>} */
  #numbered = new Map();

  /** @param {number | null} number @returns {Node | null} */
  node = (number) => this.#numbered.get(number ?? NaN) ?? null;

  /**
   * Takes what the service has: messages of other devices come in, our own get their numbers.
   * @param {Told[]} told in the order of their numbers @param {(message: Message) => boolean} isOurs whether we
   * know better, because we are just reading it
   */
  merge(told, isOurs = () => false) {
    for (const { number, parent, message } of told) {
      const above = this.node(parent) ?? this.root;
      const node = this.node(number) ?? unnumbered(above, message) ?? above.add(message);
      node.number = number;
      this.#numbered.set(number, node);
      if (!isOurs(node.message) && isNews(node.message, message)) node.message = message;
    }
  }
}

/** @param {Node} parent @param {any} message @returns {Node | undefined} where we wrote it before it had a number */
function unnumbered(parent, message) {
  const { role, turn } = message;
  const said = JSON.stringify(message.content);
  return parent.children.find((child) => {
    const own = /** @type {any} */ (child.message);
    if (child.number !== null || own.role !== role) return false;
    return turn ? own.turn === turn : JSON.stringify(own.content) === said;
  });
}

/**
 * Whether one would see a difference; what we have given up is shown so until it has ended for the service, too.
 * @param {any} own @param {any} told @returns {boolean}
 */
function isNews(own, told) {
  if (own === told || (told.state === "running" && own.state !== "running")) return false;
  return own.state !== told.state || JSON.stringify(own.content) !== JSON.stringify(told.content);
}
