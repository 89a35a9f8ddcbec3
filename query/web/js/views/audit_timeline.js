// A user's or a resource's timeline: what happened, day by day.

import { get } from "../api.js";
import { announce, h } from "../dom.js";
import { form, input, select } from "../fields.js";
import { plural } from "../format.js";
import { empty } from "../notices.js";
import { filled } from "../panel.js";
import { href, navigate } from "../router.js";
import { scoped } from "../scope.js";
import * as words from "../audit_words.js";
import { back } from "./audit.js";

export const title = "Timeline";

const PAGE_ROWS = 200;

export function mount(container, { parameters, signal }) {
  const asked = Object.fromEntries(parameters);
  const ofUser = Boolean(asked.user_id);
  const resource = asked.resource_id ? `${asked.resource_type ?? "resource"} ${asked.resource_id}` : ofUser && asked.resource_type;
  const subject = [ofUser && `user ${asked.user_id}`, resource].filter(Boolean).join(" and ");
  const heading = h("h1", { tabindex: "-1", class: "break" }, subject ? `Timeline of ${subject}` : "Timeline");
  const fields = form(
    "Whose timeline",
    (given) => navigate(["audit", "timeline"], given),
    h(
      "div",
      { class: "fields" },
      input({ label: "User", name: "user_id", value: asked.user_id ?? "" }),
      input({ label: "Resource type", name: "resource_type", value: asked.resource_type ?? "" }),
      input({ label: "Resource id", name: "resource_id", value: asked.resource_id ?? "" }),
      select({ label: "Order", name: "order", value: asked.order ?? "newest", options: [["newest", "Newest first"], ["oldest", "Oldest first"]] }),
    ),
    h("div", { class: "form-end" }, h("button", { class: "primary" }, "Show"), h("a", { href: href(["audit"], { ...asked, range: "all" }) }, "Show as a search")),
  );
  container.append(
    h("nav", { "aria-label": "Back" }, h("a", { href: back() }, "← Audit search")),
    h("div", { class: "view-head" }, heading),
    h("section", { class: "panel", "aria-label": "Subject" }, fields),
  );
  if (!subject) {
    container.append(h("div", { class: "panel" }, empty("Whose timeline?", "Enter a user, or the type and id of a resource.")));
    return null;
  }
  const question = scoped({ user_id: asked.user_id, resource_type: asked.resource_type, resource_id: asked.resource_id });
  const rows = [];
  let cursor;
  const view = filled({
    what: "the timeline",
    signal,
    load: async (abort) => {
      const page = await get("/v1/audit/events", { ...question, order: asked.order, limit: PAGE_ROWS, cursor }, abort);
      rows.push(...page.rows);
      cursor = page.next_cursor;
      return rows;
    },
    draw: () => {
      announce(`${plural(rows.length, "event")} shown`);
      if (rows.length === 0 && !cursor) return h("div", { class: "panel" }, empty("Nothing found", `No event names ${subject}.`));
      const older = cursor && h("p", {}, h("button", { type: "button", onclick: () => view.refresh({ quiet: true }) }, "Show more events"));
      return [rows.length > 0 && days(rows, ofUser), older];
    },
  });
  container.append(view.place);
  return view.refresh();
}

function days(rows, ofUser) {
  const groups = Map.groupBy(rows, (event) => event.occurred_at.slice(0, 10));
  const entry = (event) =>
    h(
      "li",
      {},
      h("time", { datetime: event.occurred_at }, event.occurred_at.slice(11, 23).replace("Z", "")),
      h(
        "span",
        { class: "what break" },
        !ofUser && [h("a", { href: href(["audit", "timeline"], { user_id: event.user_id }) }, event.user_id || "somebody"), " "],
        h("a", { href: words.eventHref(event) }, event.action),
        " ",
        words.resourceText(event),
        event.error_message && h("span", { class: "muted" }, ` – ${event.error_message}`),
      ),
      words.statusTag(event.status),
    );
  const day = ([date, events]) => h("li", {}, h("h2", { class: "day" }, date), h("ol", {}, events.map(entry)));
  return h("section", { class: "panel", "aria-label": "Events by day" }, h("ol", { class: "timeline" }, [...groups].map(day)));
}
