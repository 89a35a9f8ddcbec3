// The frame around the views: navigation, the current session, light or dark.

import { h } from "./dom.js";
import { firstView, mayView, whoAmI } from "./identity.js";
import * as session from "./session.js";

/** Draws it for the current view. `onSignOut` handles the button. */
export async function drawFrame(section, onSignOut) {
  for (const link of links()) {
    if (link.dataset.view === section) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.getElementById("nav").hidden = !session.key();
  drawSession(null, onSignOut);
  if (!session.key()) return;
  const key = session.key();
  // If the caller cannot be identified, all views are offered: the server refuses what they may not see.
  const who = await whoAmI().catch(() => null);
  if (key !== session.key()) return;
  for (const link of links()) link.parentElement.hidden = who !== null && !mayView(who, link.dataset.view);
  if (who) document.getElementById("brand").setAttribute("href", `#/${firstView(who)}`);
  drawSession(who, onSignOut);
}

const links = () => document.querySelectorAll("#nav a");

function drawSession(who, onSignOut) {
  const place = document.getElementById("session");
  // A button that has the focus stays.
  place.querySelector(".who")?.remove();
  if (session.key()) place.prepend(identity(who));
  if (!place.querySelector(".theme")) place.append(themeButton());
  const out = place.querySelector(".sign-out");
  if (!session.key()) out?.remove();
  else if (!out) place.append(h("button", { type: "button", class: "quiet sign-out", onclick: onSignOut }, "Sign out"));
}

/** Who is signed in, and whose data they see. */
function identity(who) {
  const tenant = !who || who.tenant === "*" ? session.tenant() : who.tenant;
  const is = who && (who.name === who.role ? who.role : `${who.name}, ${who.role}`);
  const of = tenant && ["Tenant ", h("strong", {}, tenant)];
  return h("span", { class: "who", title: [tenant && `Tenant ${tenant}`, is].filter(Boolean).join(", ") || null }, of, is && h("span", { class: of && "rest" }, of && " · ", is));
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
      // Storage may be disabled; the choice then lasts until the page is left.
    }
    event.currentTarget.textContent = text();
    document.dispatchEvent(new Event("theme"));
  };
  return h("button", { type: "button", class: "quiet theme", onclick: next }, text());
}
