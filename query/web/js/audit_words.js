// Audit events in words: who did what to which resource, when, and with what outcome.

import { h } from "./dom.js";
import { time } from "./format.js";
import { href } from "./router.js";
import { tag } from "./table.js";

const STATUS = { success: "good", failure: "warn", error: "bad" };

/** The outcome as a coloured word. */
export const statusTag = (status) => tag(status, STATUS[status] ?? "");

/** The resource: its type and its name, or else its id. */
export function resourceText(event) {
  const name = event.resource_name || event.resource_id;
  return [event.resource_type, name].filter(Boolean).join(" ");
}

/** `ann: update document Budget 2026`. */
export const headline = (event) => `${event.user_id || "somebody"}: ${event.action} ${resourceText(event)}`;

/** The URL of an event's page. */
export const eventHref = (event) => href(["audit", "events", event.event_id]);

/** The time, with all its digits in the machine-readable attribute. */
export const moment = (event, precise) => h("time", { datetime: event.occurred_at }, time(event.occurred_at, precise));
