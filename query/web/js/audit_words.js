// Audit events in words: who did what to which, when, and with what outcome.

import { h } from "./dom.js";
import { time } from "./format.js";
import { href } from "./router.js";
import { tag } from "./table.js";

const STATUS = { success: "good", failure: "warn", error: "bad" };

/** The outcome, as a word with a colour. */
export const statusTag = (status) => tag(status, STATUS[status] ?? "");

/** What it was done to: the kind and the name, or else the id. */
export function resourceText(event) {
  const name = event.resource_name || event.resource_id;
  return [event.resource_type, name].filter(Boolean).join(" ");
}

/** `ann: update document Budget 2026`. */
export const headline = (event) => `${event.user_id || "somebody"}: ${event.action} ${resourceText(event)}`;

/** The address of an event's page. */
export const eventHref = (event) => href(["audit", "events", event.event_id]);

/** The moment, with all its digits for a machine. */
export const moment = (event, precise) => h("time", { datetime: event.occurred_at }, time(event.occurred_at, precise));
