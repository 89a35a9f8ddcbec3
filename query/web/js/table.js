// Accessible tables: with a caption, column headers and, if rows have names, row headers.

import { h } from "./dom.js";

/**
 * A table. `columns`: `{ title, value(row), num, time, head, hidden }`, where `value` returns text or elements.
 * `rowClass` marks rows. The caption is required: with a screen reader, tables are found by it.
 */
export function table({ caption, columns, rows, rowClass, tall = false, quietCaption = false }) {
  const kind = (column) => [column.num && "num", column.time && "time", column.class].filter(Boolean).join(" ") || null;
  const cell = (column, row) =>
    column.head
      ? h("th", { scope: "row", class: kind(column) }, column.value(row))
      : h("td", { class: kind(column) }, column.value(row));
  const body = h("tbody", {}, rows.map((row) => h("tr", { class: rowClass?.(row) }, columns.map((column) => cell(column, row)))));
  const head = h("tr", {}, columns.map((column) => h("th", { scope: "col", class: kind(column) }, column.title)));
  return h(
    "div",
    // Scrollable regions must be reachable by keyboard.
    { class: `table-wrap${tall ? " tall" : ""}`, tabindex: "0", role: "region", "aria-label": caption },
    h("table", {}, h("caption", { class: quietCaption ? "visually-hidden" : null }, caption), h("thead", {}, head), body),
  );
}

/** Names and values, one per line. Empty values are left out. */
export function facts(entries) {
  const given = entries.filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  return h("dl", { class: "facts" }, given.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

/** Large numbers with a name and a note. */
export function figures(entries) {
  const figure = ([name, value, note]) =>
    h("div", { class: "figure" }, h("dt", {}, name), h("dd", {}, value), note && h("dd", { class: "note" }, note));
  return h("dl", { class: "figures" }, entries.filter(Boolean).map(figure));
}

/** A state as a word with a shape and a colour. */
export const tag = (text, kind = "") => h("span", { class: `tag ${kind}` }, text);
