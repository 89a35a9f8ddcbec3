// Steps of time in UTC, none of which a chart leaves out because nothing happened. Pure.

/** Their seconds; of a month, about. */
export const STEPS = { hour: 3600, day: 86400, month: 30 * 86400 };

/** When the next step begins, in seconds; one of more than a day is a month. */
export function next(time, step) {
  if (step <= STEPS.day) return time + step;
  const date = new Date(time * 1000);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) / 1000;
}

/** The times of rows, each once and ascending. `at(row)` is the time of one, in seconds. */
export const timesOf = (rows, at) => [...new Set(rows.map(at))].sort((one, other) => one - other);

/** Ascending times, and those missing in between. */
export function everyStep(known, step) {
  const times = [];
  for (const time of known) {
    while (times.length > 0 && next(times.at(-1), step) < time && times.length < 50_000) times.push(next(times.at(-1), step));
    times.push(time);
  }
  return times;
}
