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
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

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
