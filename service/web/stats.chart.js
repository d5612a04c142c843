/** Charts as SVG: bars by day in stacked parts, and one bar of shares. Colours are classes, `part-0` and on. */
import { element } from "./dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const HEIGHT = 240;
const EDGES = { top: 10, right: 4, bottom: 26, left: 60 };
/** Pixels that a date below the bars needs. */
const LABEL = 72;
const STEPS = [1, 2, 2.5, 5, 10];

export const COLOURS = 8;

/** @typedef {{label: string, title: string, parts: number[]}} Bar its parts from the ground up */

/** @param {string} tag @param {Record<string, unknown>} attributes @param {...(Node | string)} children */
function drawn(tag, attributes, ...children) {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** @param {string} label what it shows, in words @param {number} width @param {number} height */
const picture = (label, width, height) =>
  drawn("svg", { role: "img", "aria-label": label, width, height, viewBox: `0 0 ${width} ${height}` });

/**
 * Bars side by side, each with a title that the pointer finds anywhere above its label.
 * @param {string} label @param {Bar[]} bars @param {number} width @param {(value: number) => string} written
 * @param {number} least what two lines are apart at least
 */
export function barChart(label, bars, width, written, least) {
  const made = picture(label, width, HEIGHT);
  const heights = bars.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0));
  const marks = ticks(Math.max(...heights), least);
  const ground = HEIGHT - EDGES.bottom;
  const place = (/** @type {number} */ value) => ground - (value / marks.at(-1)) * (ground - EDGES.top);
  for (const mark of marks) made.append(...line(place(mark), width, written(mark)));
  const step = (width - EDGES.left - EDGES.right) / bars.length;
  const every = Math.ceil(LABEL / step);
  bars.forEach((bar, index) => {
    const x = EDGES.left + index * step;
    made.append(column(bar, x, step, place, ground));
    const left = bars.length - 1 - index;
    const fits = left % every === 0 && x + step / 2 > EDGES.left + LABEL / 3;
    if (fits && left > 0) made.append(date(bar.label, x + step / 2, "middle"));
    else if (fits) made.append(date(bar.label, width, "end"));
  });
  return made;
}

/**
 * @param {Bar} bar @param {number} x @param {number} step
 * @param {(value: number) => number} place @param {number} ground
 */
function column(bar, x, step, place, ground) {
  const made = drawn("g", { class: "bar" }, drawn("title", {}, bar.title));
  made.append(drawn("rect", { class: "reach", x, y: EDGES.top, width: step, height: ground - EDGES.top }));
  const gap = step > 5 ? step * 0.15 : 0;
  let sum = 0;
  bar.parts.forEach((part, index) => {
    const [bottom, top] = [place(sum), place((sum += part))];
    if (part === 0) return;
    // What is there at all can be seen.
    const height = sum === part ? Math.max(bottom - top, 1) : bottom - top;
    const size = { x: x + gap, y: bottom - height, width: step - 2 * gap, height };
    made.append(drawn("rect", { class: `part-${index}`, ...size }));
  });
  return made;
}

/** @param {number} y @param {number} width @param {string} text */
const line = (y, width, text) => [
  drawn("line", { x1: EDGES.left, x2: width - EDGES.right, y1: y, y2: y }),
  drawn("text", { x: EDGES.left - 8, y: y + 4, "text-anchor": "end" }, text),
];

/** @param {string} text @param {number} x @param {string} anchor */
const date = (text, x, anchor) => drawn("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, text);

/**
 * Round numbers from 0 up to or just above a value.
 * @param {number} most @param {number} least what two are apart at least @returns {number[]}
 */
export function ticks(most, least = 0) {
  if (most <= 0) return [0, 1];
  const rough = most / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(power * STEPS.find((factor) => factor * power >= rough), least);
  return Array.from({ length: Math.ceil(most / step - 1e-9) + 1 }, (_, index) => index * step);
}

/** @typedef {{name: string, value: number, colour: number}} Share */

/** One bar that is all of something. @param {string} label @param {Share[]} shares @param {number} width */
export function shareChart(label, shares, width) {
  const made = picture(label, width, 28);
  const total = shares.reduce((sum, { value }) => sum + value, 0);
  let x = 0;
  shares.forEach(({ name, value, colour }) => {
    const size = { x, y: 0, width: (value / total) * width, height: 28 };
    x += size.width;
    made.append(drawn("rect", { class: `part-${colour}`, ...size }, drawn("title", {}, name)));
  });
  return made;
}

/** What the colours mean. @param {string[]} names @param {number[]} [colours] */
export function legend(names, colours = [...names.keys()]) {
  const items = names.map((name, index) => {
    const swatch = drawn("svg", { width: 12, height: 12, "aria-hidden": "true" });
    swatch.append(drawn("rect", { class: `part-${colours[index]}`, width: 12, height: 12, rx: 3 }));
    return element("li", {}, swatch, element("span", {}, name));
  });
  return element("ul", { className: "legend" }, ...items);
}

/**
 * @param {string} caption @param {string[]} heads @param {(string | Node)[][]} rows the first cell is its row's name
 * @returns {HTMLElement} in a region that scrolls where it is too wide
 */
export function table(caption, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const lines = rows.map(([name, ...cells]) => {
    const others = cells.map((cell) => element("td", {}, cell));
    return element("tr", {}, element("th", { scope: "row" }, name), ...others);
  });
  const made = element("table", {}, element("caption", {}, caption));
  made.append(element("thead", {}, head), element("tbody", {}, ...lines));
  return element("div", { className: "scroll", role: "region", "aria-label": caption, tabIndex: 0 }, made);
}
