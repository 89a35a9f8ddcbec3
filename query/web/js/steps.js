// Steps of time in UTC, none of which a chart leaves out because nothing happened. Pure.

const DAY = 86400;

/** When the next step begins, in seconds; one of more than a day is a month. */
export function next(time, step) {
  if (step <= DAY) return time + step;
  const date = new Date(time * 1000);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1) / 1000;
}

/** Ascending times, and those missing in between. */
export function everyStep(known, step) {
  const times = [];
  for (const time of known) {
    while (times.length > 0 && next(times.at(-1), step) < time && times.length < 50_000) times.push(next(times.at(-1), step));
    times.push(time);
  }
  return times;
}
