// One audit event: who did what, the values before and after side by side, and the Kafka coordinates of the record.

import { getAsWritten } from "../api.js";
import { asJson, changesOf, parts, shown } from "../difference.js";
import { h, visible } from "../dom.js";
import { time } from "../format.js";
import { filled } from "../panel.js";
import { href } from "../router.js";
import { scoped } from "../scope.js";
import { facts, table } from "../table.js";
import * as words from "../audit_words.js";
import { back } from "./audit.js";

export const title = "Audit event";

export function mount(container, { path, signal }) {
  const heading = h("h1", { tabindex: "-1", class: "break" }, "Audit event");
  const view = filled({
    what: "the event",
    signal,
    load: (abort) => getAsWritten(`/v1/audit/events/${encodeURIComponent(path[2])}`, scoped(), abort),
    draw: (answer) => {
      heading.textContent = visible(words.headline(answer.event));
      return draw(answer);
    },
  });
  container.append(
    h("nav", { "aria-label": "Back" }, h("a", { href: back() }, "← Audit search")),
    h("div", { class: "view-head" }, heading),
    view.place,
  );
  return view.refresh();
}

function draw({ event, difference, repeats }) {
  return [
    h(
      "div",
      { class: "grid" },
      h("section", { class: "panel" }, h("h2", {}, "What happened"), facts(happened(event))),
      h("section", { class: "panel" }, h("h2", {}, "Origin"), facts(origin(event))),
    ),
    h("section", { class: "panel" }, h("h2", {}, "Before and after"), changeTable(difference, event)),
    Object.keys(event.metadata ?? {}).length > 0 && h("section", { class: "panel" }, h("h2", {}, "Metadata"), facts(Object.entries(event.metadata))),
    h(
      "section",
      { class: "panel" },
      h("h2", {}, "Evidence"),
      facts([
        ["Record", event.kafka && `${event.kafka.topic}, partition ${event.kafka.partition}, offset ${event.kafka.offset}, log epoch ${event.kafka.log_epoch}`],
        ["Accepted by Kafka", event.kafka && time(event.kafka.timestamp, true)],
        ["Stored", time(event.inserted_at, true)],
        ["Event id", h("code", {}, event.event_id)],
        ["Sent again", repeats.length > 0 && repeats.map(({ kafka }) => `partition ${kafka.partition}, offset ${kafka.offset}`).join("; ")],
      ]),
    ),
    h("details", { class: "panel" }, h("summary", {}, "The event as JSON"), h("pre", { class: "json", tabindex: "0" }, asJson(event, 2))),
  ];
}

function happened(event) {
  const line = (parameters, text) => h("a", { href: href(["audit", "timeline"], parameters) }, text);
  const resource = event.resource_id && { resource_type: event.resource_type, resource_id: event.resource_id };
  return [
    ["Time (UTC)", words.moment(event, true)],
    ["Status", words.statusTag(event.status)],
    ["Message", event.error_message],
    ["User", event.user_id && [event.user_id, " · ", line({ user_id: event.user_id }, "timeline of this user")]],
    ["Team", event.team_id],
    ["Action", event.action],
    ["Resource type", event.resource_type],
    ["Resource", resource && [event.resource_id, " · ", line(resource, "timeline of this resource")]],
    ["Resource name", event.resource_name],
  ];
}

function origin(event) {
  const search = (name) => event[name] && [event[name], " · ", h("a", { href: href(["audit"], { [name]: event[name], range: "all" }) }, "all its events")];
  return [
    ["Source", event.source],
    ["Service", event.service_id],
    ["Plugin", event.plugin_id],
    ["Address", event.ip_address],
    ["User agent", event.user_agent],
    ["Session", search("session_id")],
    ["Request", search("request_id")],
    ["Tenant", event.tenant_id],
  ];
}

const SIGNS = { added: "+ added", removed: "− removed", changed: "~ changed" };

function changeTable(difference, event) {
  const changes = changesOf(difference);
  if (changes.length === 0) {
    const none = event.old_value === null && event.new_value === null;
    return h("p", { class: "muted" }, none ? "The event has no values." : "The values before and after are the same.");
  }
  const sides = (change) => {
    if (change.kind !== "changed") return { before: shown(change.before), after: shown(change.after) };
    const [before, after] = [shown(change.before), shown(change.after)];
    const cut = parts(before, after);
    const shares = cut.before.head.length + cut.before.tail.length;
    // Texts that share little are easier to read whole.
    if (shares * 2 < Math.min(before.length, after.length)) return { before: h("del", {}, before), after: h("ins", {}, after) };
    const side = (tag, { head, middle, tail }) => [head, middle && h(tag, {}, middle), tail];
    return { before: side("del", cut.before), after: side("ins", cut.after) };
  };
  return h(
    "div",
    { class: "difference" },
    table({
      caption: "Values before and after",
      quietCaption: true,
      rows: changes,
      columns: [
        { title: "Field", head: true, value: (change) => change.path || "(whole value)" },
        { title: "Change", class: "sign", value: (change) => h("span", { class: `sign ${change.kind}` }, SIGNS[change.kind] ?? change.kind) },
        { title: "Before", value: (change) => (change.kind === "removed" ? h("del", {}, shown(change.before)) : sides(change).before) },
        { title: "After", value: (change) => (change.kind === "added" ? h("ins", {}, shown(change.after)) : sides(change).after) },
      ],
    }),
    difference.truncated && h("p", { class: "muted" }, "There are more changes; the event as JSON shows both values in full."),
  );
}
