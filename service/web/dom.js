/** The few things one does with elements, and nothing about chats. */

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] properties of the element; names with a dash are attributes
 * @param {...(Node | string)} children
 * @returns {any} the element
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role") made.setAttribute(name, String(value));
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** @param {string} name a symbol of icons.svg @returns {SVGElement} */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const drawing = document.createElementNS(space, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  drawing.appendChild(document.createElementNS(space, "use")).setAttribute("href", `/web/icons.svg#${name}`);
  return drawing;
}

/** @param {string} symbol @param {string} label @param {() => void} onclick @returns {HTMLButtonElement} */
export function button(symbol, label, onclick) {
  return element("button", { type: "button", className: "quiet", onclick }, icon(symbol), element("span", {}, label));
}

/**
 * A button that copies, and says for a moment that it did.
 * @param {string} label @param {string} done @param {() => string} source @param {string} [name] for screen readers
 */
export function copyButton(label, done, source, name = label) {
  const made = button("copy", label, async () => {
    if (!(await copied(source()))) return;
    show("check", done);
    setTimeout(show, 2000, "copy", label);
  });
  const show = (/** @type {string} */ symbol, /** @type {string} */ word) => {
    made.replaceChildren(icon(symbol), element("span", {}, word));
    made.setAttribute("aria-label", word === label ? name : word);
  };
  show("copy", label);
  return made;
}

/** @param {string} text @returns {Promise<boolean>} */
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedTheOldWay(text);
  }
}

/** The clipboard's interface needs HTTPS or localhost; in a home network neither is a matter of course. */
function copiedTheOldWay(text) {
  const field = element("textarea", { value: text, className: "unseen", readOnly: true });
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  before?.focus();
  return done;
}
