// The page: signing in and out, and one view at a time.
//
// A view is a module with `title` and `mount(container, place)`; `mount` returns what to do when the view is left. Its
// requests are then cancelled through `place.signal`.

import * as session from "./session.js";
import { announce, h } from "./dom.js";
import { settle, standing } from "./focus.js";
import { drawFrame } from "./frame.js";
import { firstView, whoAmI } from "./identity.js";
import { failure } from "./notices.js";
import { current, href, navigate } from "./router.js";
import * as audit from "./views/audit.js";
import * as auditEvent from "./views/audit_event.js";
import * as auditTimeline from "./views/audit_timeline.js";
import * as exportOne from "./views/export.js";
import * as exportsList from "./views/exports.js";
import * as keys from "./views/keys.js";
import * as metrics from "./views/metrics.js";
import * as services from "./views/services.js";
import * as signIn from "./views/sign_in.js";
import * as system from "./views/system.js";

const main = document.getElementById("main");
let leaving = null;
let shown = "";

/** The view at a place. */
function viewAt([section, ...rest]) {
  if (section === "metrics" && rest.length === 0) return metrics;
  if (section === "services" && rest.length === 0) return services;
  if (section === "audit" && rest.length === 0) return audit;
  if (section === "audit" && rest[0] === "events" && rest.length === 2) return auditEvent;
  if (section === "audit" && rest[0] === "timeline" && rest.length === 1) return auditTimeline;
  if (section === "exports" && rest.length === 0) return exportsList;
  if (section === "exports" && rest.length === 1) return exportOne;
  if (section === "keys" && rest.length === 0) return keys;
  if (section === "system" && rest.length === 0) return system;
  if (section === "sign-in" && rest.length === 0) return signIn;
  return nowhere;
}

const nowhere = {
  title: "Not found",
  mount(container) {
    container.append(
      h("h1", { tabindex: "-1" }, "There is no such view"),
      h("p", {}, "The address may be mistyped. ", h("a", { href: "#/metrics" }, "Go to the metrics"), "."),
    );
  },
};

async function show() {
  leaving?.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  // Without a requested view, show the first one that they may see.
  if (session.key() && !location.hash.startsWith("#/")) return location.replace(href([await whoAmI().then(firstView, () => "metrics")]));
  const { path, parameters } = current();
  const view = viewAt(path);
  const place = path.join("/");
  const moved = shown !== "" && shown !== place;
  shown = place;
  drawFrame(path[0], signOut);
  document.title = `${view.title} · Horolog`;
  // After a new query in the same view the focus stays where it was.
  const back = standing(main);
  main.replaceChildren();
  if (!session.key() && view !== signIn) return signInFirst("");
  const returning = new MutationObserver(() => back() && returning.disconnect());
  if (!moved) returning.observe(main, { childList: true, subtree: true });
  try {
    await view.mount(main, { path, parameters, signal, moved });
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return signedOut(error);
    main.append(failure(error, show));
  } finally {
    returning.disconnect();
  }
  if (!moved && !signal.aborted && !back()) settle(main, main.querySelector("h1"));
  if (moved && !signal.aborted) {
    main.querySelector("h1")?.focus();
    window.scrollTo(0, 0);
    announce(document.title);
  }
}

function signOut() {
  session.end();
  navigate(["sign-in"]);
}

/** The server no longer accepts the key. */
function signedOut(error) {
  session.end();
  signInFirst(error.problem.detail ?? "");
}

/** To the sign-in, and back here afterwards. Replaces the history entry: going back must not lead here again. */
function signInFirst(why) {
  location.replace(href(["sign-in"], { then: location.hash.slice(1), why }));
}

// A link to a fragment would be taken for a view.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  (main.querySelector("h1") ?? main).focus();
});
window.addEventListener("hashchange", show);
document.addEventListener("signed-out", (event) => signedOut(event.detail));
show();
