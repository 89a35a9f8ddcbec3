// Where the reader stands with the keyboard, across new content: whoever replaces a part of the page puts them back.

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

/** By what a control is known again in other content: its role in it, not the element. */
function nameOf(element) {
  const { tagName, name, type, value } = element;
  if (name) return [tagName, name, type === "radio" ? value : ""].join(" ");
  return [tagName, element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent].join(" ");
}

/**
 * Remembers which control within `place` has the focus. The answer puts the focus onto its successor, and tells whether it is done:
 * nobody stood there, they have gone elsewhere since, or the successor has it.
 */
export function standing(place) {
  const stood = place.contains(document.activeElement) && document.activeElement !== place ? nameOf(document.activeElement) : null;
  return () => {
    if (stood === null || isElsewhere(place)) return true;
    const same = [...place.querySelectorAll(FOCUSABLE)].find((element) => nameOf(element) === stood);
    same?.focus({ preventScroll: true });
    return same !== undefined && document.activeElement === same;
  };
}

/** Puts the focus onto an element of a place, unless the reader stands on something already. */
export function settle(place, element) {
  if (!isElsewhere(place)) element?.focus({ preventScroll: true });
}

/** What was focused and removed leaves the focus on the body. */
const isElsewhere = (place) => document.activeElement !== document.body && document.activeElement !== place;

/** Does something that a button began. Meanwhile it cannot be pressed again; whoever stood on it stands on it afterwards. */
export async function pressed(button, work) {
  const stood = document.activeElement === button;
  button.disabled = true;
  try {
    return await work();
  } finally {
    button.disabled = false;
    if (stood) settle(document.body, button);
  }
}
