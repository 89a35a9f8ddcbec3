// Keyboard focus across new content: whoever replaces a part of the page restores it.

const FOCUSABLE = "a[href], button, input, select, textarea, summary, [tabindex]";

/** Identifies a control across new content: by its role in it, not the element. */
function nameOf(element) {
  const { tagName, name, type, value } = element;
  if (name) return [tagName, name, type === "radio" ? value : ""].join(" ");
  return [tagName, element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent].join(" ");
}

/**
 * Remembers which control within `place` has the focus. The returned function focuses its successor, and returns true
 * if that worked or nothing was to do: the focus was not there, or has moved elsewhere since.
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

/** Focuses an element of a place, unless the focus is already on something else. */
export function settle(place, element) {
  if (!isElsewhere(place)) element?.focus({ preventScroll: true });
}

/** Removing a focused element leaves the focus on the body. */
const isElsewhere = (place) => document.activeElement !== document.body && document.activeElement !== place;

/** Runs the action of a button, which is disabled meanwhile; afterwards it gets its focus back. */
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
