// Charts over time: uPlot in the colours of this page, with incomplete data marked.
//
// Enters: times, series and bands. Leaves: a figure whose canvas is hidden from screen readers, because the same
// numbers are in a table beside it. From `incompleteFrom` on the plot is hatched, and a text says so.

import { h } from "./dom.js";
import { minute, shortNumber, ticksText } from "./format.js";

const HEIGHT = 250;
const DASHES = [[], [6, 3], [2, 3], [9, 3, 2, 3]];
const COLOURS = 8;

/** The colour of the n-th series, as a custom property; after eight they repeat with another dash. */
export const colour = (index) => `var(--series-${(index % COLOURS) + 1})`;

/**
 * A chart. `times`: seconds, ascending. `series`: `{ label, values, width, fill, bars, index }`. `bands`: pairs of
 * indices into `series` (upper, lower) with `opacity`. `span`: the seconds the axis covers. `sync` names charts whose
 * cursors move together. Returns the figure; it draws itself once it is in the page and again when its width or the
 * theme changes.
 */
export function chart({ title, times, series, bands = [], incompleteFrom, span, unit = "", height = HEIGHT, sync, step = 3600, zero = false }) {
  const plot = h("div", { class: "plot", "aria-hidden": "true" });
  const outputs = series.map(() => h("span", { class: "value" }));
  const named = series.map((one, at) => h("li", {}, swatch(one), h("span", { class: "break" }, one.label), outputs[at]));
  const legend = h("ul", { class: "legend", "aria-label": "Legend" }, named);
  const moment = h("li", { class: "muted" });
  legend.append(moment);
  const figure = h("figure", { class: "chart" }, title && h("h2", {}, title), legend, plot);

  let drawn = null;
  const options = (width) => ({
    width,
    height,
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { show: false },
    cursor: { points: { size: 7 }, drag: { x: false, y: false }, sync: sync ? { key: sync } : undefined },
    padding: [8, 22, 0, 0],
    scales: { x: { range: () => span }, y: { range: zero ? (_, __, max) => [0, max > 0 ? max * 1.08 : 1] : undefined } },
    axes: axes(unit, height),
    series: [{}, ...series.map(line)],
    bands: bands.map((band) => ({ series: [band.upper + 1, band.lower + 1], fill: translucent(series[band.upper].index ?? 0, band.opacity) })),
    hooks: {
      drawClear: [(self) => hatch(self, incompleteFrom)],
      setCursor: [(self) => read(self)],
    },
  });
  const read = (self) => {
    const index = self.cursor.idx;
    moment.textContent = index === null || index === undefined ? "" : `at ${minute(times[index])}`;
    series.forEach((one, at) => (outputs[at].textContent = index === null || index === undefined ? "" : shortNumber(one.values[index])));
  };
  const line = (one) => {
    const stroke = resolved(colour(one.index ?? 0));
    const shape = { label: one.label ?? "", stroke, width: one.width ?? 1.75, dash: one.dash ?? DASHES[Math.floor((one.index ?? 0) / COLOURS) % DASHES.length], points: { show: true, size: 5, filter: () => lonely(one.values) }, spanGaps: false };
    if (one.bars) return { ...shape, width: 0, fill: resolved(colour(one.index ?? 0)), paths: window.uPlot.paths.bars({ size: [0.8, times.length > 1 ? Infinity : 60], align: 1 }), points: { show: false } };
    return shape;
  };
  const draw = () => {
    const width = Math.floor(plot.clientWidth);
    if (width < 40) return;
    drawn?.destroy();
    drawn = new window.uPlot(options(width), [times, ...series.map((one) => one.values)], plot);
  };
  const resized = new ResizeObserver(() => {
    if (!plot.isConnected) return stop(); // otherwise it would follow the mouse for as long as the page is open
    if (drawn && Math.abs(drawn.width - plot.clientWidth) < 2) return;
    draw();
  });
  resized.observe(plot);
  const recoloured = () => (plot.isConnected ? draw() : stop());
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const stop = () => {
    resized.disconnect();
    scheme.removeEventListener("change", recoloured);
    document.removeEventListener("theme", recoloured);
    drawn?.destroy();
    drawn = null;
  };
  scheme.addEventListener("change", recoloured);
  document.addEventListener("theme", recoloured);
  return figure;
}

/** A sample of a series' line for the legend. */
function swatch({ index = 0, bars, dash }) {
  const style = DASHES[Math.floor(index / COLOURS) % DASHES.length];
  const shape = bars
    ? h("rect", { x: 4, y: 1, width: 14, height: 10 })
    : h("line", { x1: 0, y1: 6, x2: 22, y2: 6, "stroke-width": 2.5, "stroke-dasharray": (dash ?? style).join(" ") || null });
  shape.setAttribute(bars ? "fill" : "stroke", colour(index));
  return h("svg", { width: 22, height: 12, "aria-hidden": "true" }, shape);
}

/** Values without neighbours form no line, so they are drawn as points. */
function lonely(values) {
  const known = (at) => (values[at] ?? null) !== null;
  return values.map((_, at) => at).filter((at) => known(at) && !known(at - 1) && !known(at + 1));
}

function axes(unit, height) {
  const axis = { stroke: resolved("var(--muted)"), grid: { stroke: resolved("var(--line)"), width: 1 }, ticks: { stroke: resolved("var(--line)"), width: 1, size: 5 }, font: "12px system-ui, sans-serif" };
  return [
    { ...axis, space: 62, values: (_, ticks, __, ___, step) => moments(ticks, step) },
    { ...axis, size: (_, texts) => Math.max(62, 14 + 7 * Math.max(0, ...(texts ?? []).map((text) => text.length))), space: height < HEIGHT ? 20 : 34, values: (_, ticks) => ticksText(ticks), label: unit || undefined, labelSize: 16, labelFont: "12px system-ui, sans-serif" },
  ];
}

const DAY = 86400;

/** Times in ISO 8601, only as far as they change from tick to tick: the day when it changes, the year when it does. */
function moments(ticks, step) {
  let before = "";
  return ticks.map((tick) => {
    const [date, clock] = new Date(tick * 1000).toISOString().split("T");
    const [fine, coarse] = step >= 28 * DAY ? [date.slice(0, 7), ""] : step >= DAY ? [date.slice(5), date.slice(0, 4)] : [clock.slice(0, 5), date.slice(5)];
    const label = coarse && coarse !== before ? `${fine}\n${coarse}` : fine;
    before = coarse;
    return label;
  });
}

/** Hatches the time that may still receive records on time. */
function hatch(self, incompleteFrom) {
  const { ctx, bbox } = self;
  const end = self.scales.x.max;
  if (incompleteFrom >= end) return;
  const from = Math.max(bbox.left, self.valToPos(Math.max(incompleteFrom, self.scales.x.min), "x", true));
  const width = bbox.left + bbox.width - from;
  if (width <= 0) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(from, bbox.top, width, bbox.height);
  ctx.clip();
  ctx.strokeStyle = resolved("var(--hatch)");
  ctx.lineWidth = devicePixelRatio;
  ctx.globalAlpha = 0.45;
  const step = 9 * devicePixelRatio;
  ctx.beginPath();
  for (let x = from - bbox.height; x < from + width; x += step) {
    ctx.moveTo(x, bbox.top + bbox.height);
    ctx.lineTo(x + bbox.height, bbox.top);
  }
  ctx.stroke();
  ctx.globalAlpha = 1;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(from, bbox.top);
  ctx.lineTo(from, bbox.top + bbox.height);
  ctx.stroke();
  ctx.restore();
}

const translucent = (index, opacity) => resolved(`color-mix(in srgb, ${colour(index)} ${Math.round(opacity * 100)}%, transparent)`);

/** The current value of a style sheet's colour: a canvas cannot use custom properties. */
function resolved(expression) {
  const probe = document.createElement("span");
  probe.style.color = expression;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
