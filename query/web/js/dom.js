// Elements from data. Text always becomes a text node: nothing that comes from the API is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "path", "line", "rect", "circle"]);

/**
 * An element. Attributes: `on…` functions are listeners, `true` sets a bare attribute, `false`, `null` and `undefined`
 * none, anything else its text. Children: elements, texts, numbers, lists of them; `null` and `false` are left out.
 */
export function h(tag, attributes = {}, ...children) {
  const element = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

/**
 * Control characters, and those that turn the direction of a line or have no width, by their code points: a record must
 * not make a line read as another one. The joiners of emoji and scripts stay.
 */
export const visible = (text) => text.replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, (c) => `\u27e8U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`);

/** Announces a text to screen readers without moving the focus. */
export function announce(text) {
  const region = document.getElementById("announcer");
  region.textContent = "";
  // Screen readers repeat the same sentence only if they see it change.
  requestAnimationFrame(() => (region.textContent = text));
}

let ids = 0;

/** A unique element id. */
export const newId = (stem) => `${stem}-${++ids}`;
