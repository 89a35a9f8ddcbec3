// The fields for a span of time: a named one, or both ends, shown only when needed.

import { input, select } from "./fields.js";
import { inputTime } from "./format.js";
import { CUSTOM, choices } from "./ranges.js";

/** Fields `range`, `from` and `to`; `onChange` is called when another range is chosen. */
export function rangeFields({ names, value, from, to }) {
  const ends = [
    input({ label: "From (UTC)", name: "from", type: "datetime-local", value: inputTime(from) }),
    input({ label: "To (UTC, exclusive)", name: "to", type: "datetime-local", value: inputTime(to) }),
  ];
  const show = (chosen) => ends.forEach((end) => (end.hidden = chosen !== CUSTOM));
  const range = select({ label: "Time", name: "range", value, options: choices(names), onchange: (event) => show(event.target.value) });
  show(value);
  return [range, ...ends];
}
