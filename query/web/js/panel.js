// A section of the page that loads its content: shows that it is loading, then the content or why there is none.

import { settle, standing } from "./focus.js";
import { h } from "./dom.js";
import { failure, loading, stale } from "./notices.js";

/** Transient failures: the server was not reached, is busy, or limits the rate of this key. */
const PASSING = new Set([0, 429, 503]);

/**
 * A section that fills itself. `load(signal)` requests, `draw(answer)` makes the content. The section is `aria-busy`
 * meanwhile. `refresh()` requests again; a newer request cancels an older one. With `every`, the first and the longest
 * pause in milliseconds, the section refreshes itself `until(answer)`; also after a transient failure, but no sooner
 * than the server says.
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
      // The focus may be elsewhere by now.
      replace(place, content, quiet ? standing(place) : back);
      hasAnswer = true;
      if (every && !until(answer)) again(0);
    } catch (error) {
      if (mine.signal.aborted) return;
      if (error.status === 401) return signedOut(error);
      const passes = every && PASSING.has(error.status);
      if (passes) again((error.retryAfterSeconds ?? 0) * 1000);
      if (passes && quiet && hasAnswer) stale(place, error);
      else if (PASSING.has(error.status) && quiet && hasAnswer) unfinished(place, failure(error, () => refresh({ quiet: true })));
      else replace(place, onFailure?.(error) ? null : failure(error, () => refresh()), quiet ? standing(place) : back);
    } finally {
      if (mine === asking) place.removeAttribute("aria-busy");
    }
  };
  return { place, refresh };
}

/** Keeps the content, with why there is no more below it. */
function unfinished(place, why) {
  place.querySelector(":scope > .notice.bad")?.remove();
  place.append(why);
}

/** Replaces content. A focused control keeps its focus in the new content, or else its beginning gets it. */
function replace(place, content, back) {
  const tables = () => place.querySelectorAll(".table-wrap");
  const scrolled = new Map([...tables()].map((wrap) => [wrap.getAttribute("aria-label"), [wrap.scrollLeft, wrap.scrollTop]]));
  place.replaceChildren(...[content].flat(Infinity).filter(Boolean));
  // Who has scrolled a table reads on where they were.
  for (const wrap of tables()) wrap.scrollTo(...(scrolled.get(wrap.getAttribute("aria-label")) ?? [0, 0]));
  if (back()) return;
  place.setAttribute("tabindex", "-1");
  settle(place, place);
}

/** One refresh at a time, after a pause, and only while the page is visible. */
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

/** The session ended; the frame shows the sign-in. */
export function signedOut(error) {
  document.dispatchEvent(new CustomEvent("signed-out", { detail: error }));
}
