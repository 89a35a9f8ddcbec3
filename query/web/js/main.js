// The page: frame, navigation, signing in and out, and one view at a time.
//
// A view is a module with `title` and `mount(container, place)`; `mount` returns what is to be done when it is left. What it
// asks for is cancelled then, through `place.signal`.

import * as session from "./session.js";
import { announce, h } from "./dom.js";
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
  const { path, parameters } = current();
  const view = viewAt(path);
  const place = path.join("/");
  const moved = shown !== "" && shown !== place;
  shown = place;
  markCurrent(path[0]);
  drawSession();
  document.title = `${view.title} · Horolog`;
  main.replaceChildren();
  if (!session.key() && view !== signIn) return signInFirst("");
  try {
    await view.mount(main, { path, parameters, signal, moved });
  } catch (error) {
    if (signal.aborted) return;
    if (error.status === 401) return signedOut(error);
    main.append(failure(error, show));
  }
  // After a new question in the same view the focus stays where the reader works.
  if (moved && !signal.aborted) {
    main.querySelector("h1")?.focus();
    window.scrollTo(0, 0);
    announce(document.title);
  }
}

/** The server does not know the key any more. */
function signedOut(error) {
  session.end();
  signInFirst(error.problem.detail ?? "");
}

/** To the sign-in, and back here afterwards. The place is replaced: going back must not lead here again and again. */
function signInFirst(why) {
  location.replace(href(["sign-in"], { then: location.hash.slice(1), why }));
}

function markCurrent(section) {
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.view === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function drawSession() {
  const tenant = session.tenant();
  const end = () => {
    session.end();
    navigate(["sign-in"]);
  };
  document.getElementById("session").replaceChildren(
    ...[
      tenant && h("span", { class: "who" }, "Tenant ", h("strong", {}, tenant)),
      themeButton(),
      session.key() && h("button", { type: "button", class: "quiet", onclick: end }, "Sign out"),
    ].filter(Boolean),
  );
}

const THEMES = ["system", "light", "dark"];

function themeButton() {
  const now = () => document.documentElement.dataset.theme ?? "system";
  const text = () => `Theme: ${now()}`;
  const next = (event) => {
    const theme = THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length];
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("horolog-theme", theme);
    } catch {
      // Storage may be forbidden; the choice then lasts until the page is left.
    }
    event.currentTarget.textContent = text();
    document.dispatchEvent(new Event("theme"));
  };
  return h("button", { type: "button", class: "quiet", onclick: next }, text());
}

// A link to a fragment would be taken for a view.
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  (main.querySelector("h1") ?? main).focus();
});
window.addEventListener("hashchange", show);
document.addEventListener("signed-out", (event) => signedOut(event.detail));
show();
