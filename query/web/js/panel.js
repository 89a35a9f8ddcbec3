// A place on the page whose content is asked for: shows that it is coming, then the content or why there is none.

import { settle, standing } from "./focus.js";
import { h } from "./dom.js";
import { failure, loading, stale } from "./notices.js";

/** What goes away by waiting: the server is not reached, busy, or has answered this key often enough for now. */
const PASSING = new Set([0, 429, 503]);

/**
 * A section that fills itself. `load(signal)` asks, `draw(answer)` makes the content. The section is `aria-busy` meanwhile.
 * `refresh()` asks again; a newer question cancels an older one. With `every`, the first and the longest pause in milliseconds, the
 * section asks again by itself `until(answer)`; also after a failure that goes away by waiting, but no sooner than the server says.
 */
export function filled({ what, load, draw, signal, onFailure, every, until = () => false }) {
  const place = h("div", { class: "stack" });
  let asking = null;
  let hasAnswer = false;
  let [pause, longest] = every ?? [];
  const later = nextLook(signal, () => refresh({ quiet: true }));
  const again = (atLeast) => {
    later.after(Math.max(pause, atLeast));
    pause = Math.min(pause * 1.5, longest);
  };
  signal.addEventListener("abort", () => asking?.abort());
  const refresh = async ({ quiet = false } = {}) => {
    later.cancel();
    asking?.abort();
    asking = new AbortController();
    const mine = asking;
    place.setAttribute("aria-busy", "true");
    const back = standing(place);
    if (!quiet) {
      place.replaceChildren(loading(what));
      hasAnswer = false;
    }
    try {
      const answer = await load(mine.signal);
      if (mine.signal.aborted) return;
      const content = await draw(answer);
      if (mine.signal.aborted) return;
      // Where the reader stands may be another place by now.
      replace(place, content, quiet ? standing(place) : back);
      hasAnswer = true;
      if (every && !until(answer)) again(0);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) return signedOut(error);
      const passes = every && PASSING.has(error.status);
      if (passes) again((error.retryAfterSeconds ?? 0) * 1000);
      if (passes && quiet && hasAnswer) stale(place, error);
      else replace(place, onFailure?.(error) ? null : failure(error, () => refresh()), quiet ? standing(place) : back);
    } finally {
      if (mine === asking) place.removeAttribute("aria-busy");
    }
  };
  return { place, refresh };
}

/** Puts new content where old was. Who stood on a control of the old one stands on the same one of the new, or at its beginning. */
function replace(place, content, back) {
  place.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  if (back()) return;
  place.setAttribute("tabindex", "-1");
  settle(place, place);
}

/** One look at a time, after a while, and only while the reader sees the page. */
function nextLook(signal, look) {
  let timer = null;
  const seen = () => {
    if (document.visibilityState !== "visible") return;
    cancel();
    look();
  };
  const cancel = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
  const after = (milliseconds) => {
    if (signal.aborted) return;
    timer = setTimeout(() => {
      document.addEventListener("visibilitychange", seen);
      seen();
    }, milliseconds);
  };
  signal.addEventListener("abort", cancel);
  return { after, cancel };
}

/** The session ended; the frame takes the reader to the sign-in. */
export function signedOut(error) {
  document.dispatchEvent(new CustomEvent("signed-out", { detail: error }));
}
