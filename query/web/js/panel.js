// A place on the page whose content is asked for: shows that it is coming, then the content or why there is none.

import { h } from "./dom.js";
import { failure, loading } from "./notices.js";

/**
 * A section that fills itself. `load(signal)` asks, `draw(answer)` makes the content. The section is `aria-busy` meanwhile.
 * `refresh()` asks again; a newer question cancels an older one.
 */
export function filled({ what, load, draw, signal, onFailure }) {
  const place = h("div", { class: "stack" });
  let asking = null;
  signal.addEventListener("abort", () => asking?.abort());
  const refresh = async ({ quiet = false } = {}) => {
    asking?.abort();
    asking = new AbortController();
    const mine = asking;
    place.setAttribute("aria-busy", "true");
    if (!quiet) place.replaceChildren(loading(what));
    try {
      const answer = await load(mine.signal);
      if (!mine.signal.aborted) replace(place, await draw(answer));
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) return signedOut(error);
      if (!onFailure?.(error)) place.replaceChildren(failure(error, () => refresh()));
      else place.replaceChildren();
    } finally {
      if (mine === asking) place.removeAttribute("aria-busy");
    }
  };
  return { place, refresh };
}

/** Puts new content where old was. Who stood on a link or button of the old one stands on the same one of the new. */
function replace(place, content) {
  const name = (element) => element.getAttribute("aria-label") ?? element.getAttribute("href") ?? element.textContent;
  const stood = place.contains(document.activeElement) ? name(document.activeElement) : null;
  place.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  if (stood === null) return;
  const same = [...place.querySelectorAll("a, button, [tabindex]")].find((element) => name(element) === stood);
  same?.focus({ preventScroll: true });
}

/** The session ended; the frame takes the reader to the sign-in. */
export function signedOut(error) {
  document.dispatchEvent(new CustomEvent("signed-out", { detail: error }));
}
