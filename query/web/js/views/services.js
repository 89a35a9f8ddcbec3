// Service health: latency, errors and the burn rate of each service in the last complete hour.

import { get } from "../api.js";
import { announce, h } from "../dom.js";
import { count, minute, number, plural } from "../format.js";
import { empty } from "../notices.js";
import { filled } from "../panel.js";
import { scoped } from "../scope.js";
import { figures, table, tag } from "../table.js";

export const title = "Service health";

/** Uses up a month's error budget in two days: worth a page. From the Site Reliability Workbook, chapter 5. */
const BURN_RATE_URGENT = 14.4;

export function mount(container, { signal }) {
  const view = filled({ what: "the services", signal, load: (abort) => get("/v1/metrics/health", scoped(), abort), draw });
  container.append(h("div", { class: "view-head" }, h("h1", { tabindex: "-1" }, "Service health"), h("p", {}, "In the last complete hour.")), view.place);
  return view.refresh();
}

function draw({ rows, more }) {
  announce(plural(rows.length, "service"));
  if (rows.length === 0) return h("div", { class: "panel" }, empty("No services yet", "Services appear here once an hour of their latency or request metrics is complete."));
  const burning = rows.filter((row) => row.burn_rate !== null && row.burn_rate > 1);
  return [
    figures([
      ["Hour", minute(rows[0].hour), "the last complete one"],
      ["Services", count(new Set(rows.map((row) => row.service_id)).size), more ? "there are more that are not shown" : plural(rows.length, "environment")],
      ["Objectives", burning.length === 0 ? tag("none missed", "good") : tag(`${count(burning.length)} missed`, "warn"), "a burn rate above 1 exceeds the error budget"],
    ]),
    table({
      caption: "Services by environment",
      rows,
      columns: [
        { title: "Service", head: true, value: (row) => row.service_id },
        { title: "Environment", value: (row) => row.environment },
        { title: "p50", num: true, value: (row) => latency(row.latency_p50_s) },
        { title: "p99", num: true, value: (row) => latency(row.latency_p99_s) },
        { title: "Requests", num: true, value: (row) => count(row.requests) },
        { title: "Per second", num: true, value: (row) => number(row.throughput_per_s) },
        { title: "Errors", num: true, value: (row) => count(row.errors) },
        { title: "Availability", num: true, value: (row) => share(row.availability) },
        { title: "Objective", num: true, value: (row) => share(row.objective) },
        { title: "Burn rate", value: burn },
      ],
    }),
  ];
}

const latency = (value) => (value === null ? "–" : value < 1 ? `${number(value * 1000)} ms` : `${number(value)} s`);
const share = (value) => (value === null ? "–" : `${number(value * 100)} %`);

function burn({ burn_rate: rate }) {
  if (rate === null) return "not known";
  return tag(number(rate), rate >= BURN_RATE_URGENT ? "bad" : rate > 1 ? "warn" : "good");
}
