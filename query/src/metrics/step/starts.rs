//! SQL for the start of the row that an hour belongs to.
//!
//! The engine is never told a zone: it builds a table of 5 MB for each that it is asked about, and keeps them all. So it
//! is given the starts of the rows, in ranges, and rounds down to them.

use std::ops::Range;

use chrono_tz::Tz;

use super::{DAY_S, LOOK_AT_OFFSET_EVERY_DAYS, Step, Steps, offset_s};
use crate::api::instant::Instant;
use crate::store::Sql;

impl Steps {
    /// SQL for the start of the row that an hour belongs to, as a `DateTime`; `hour` is the SQL for the hour.
    pub fn start_sql(&self, hour: &'static str) -> Sql {
        match self.step {
            Step::Hour => hour.into(),
            Step::Day if self.zone == Tz::UTC => Sql::concat(["toStartOfDay(", hour, ", 'UTC')"]),
            Step::Month if self.zone == Tz::UTC => {
                Sql::concat(["toDateTime(toStartOfMonth(", hour, ", 'UTC'), 'UTC')"])
            }
            Step::Day | Step::Month => Sql::concat(["toDateTime(roundDown(toUInt32(", hour, "), "])
                .then(Sql::stepped(&self.starts(), DAY_S))
                .then("), 'UTC')"),
        }
    }

    /// The starts of all rows of the span, in ranges of starts that are 24 hours apart; seconds since 1970.
    fn starts(&self) -> Vec<Range<i64>> {
        let second = |moment: Instant| moment.micros().div_euclid(1_000_000);
        let (from, to) = self.bounds_s();
        let mut start = second(self.start_of(Instant::from_micros(from * 1_000_000)));
        let mut ranges: Vec<Range<i64>> = Vec::new();
        loop {
            let days = match self.step {
                Step::Day if self.is_regular(start) => LOOK_AT_OFFSET_EVERY_DAYS,
                _ => 1,
            };
            let end = start + (days - 1) * DAY_S + 1;
            match ranges.last_mut() {
                Some(range) if range.end - 1 + DAY_S == start => range.end = end,
                _ => ranges.push(start..end),
            }
            let last = Instant::from_micros((end - 1) * 1_000_000);
            let next = second(self.end_of(last));
            if next >= to || next <= start {
                return ranges;
            }
            start = next;
        }
    }

    /// Whether some days from the one that starts at this second on have 24 hours. A day whose clocks are put forward at
    /// midnight starts with the offset of the next ones, and has less.
    fn is_regular(&self, start: i64) -> bool {
        let moment = |second: i64| Instant::from_micros(second * 1_000_000);
        let end = start + LOOK_AT_OFFSET_EVERY_DAYS * DAY_S;
        offset_s(self.zone, start) == offset_s(self.zone, end) && self.end_of(moment(start)) == moment(start + DAY_S)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::instant::Span;

    /// With clocks that change at midnight, at an hour before it, and never.
    const ZONES: [&str; 9] = [
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "America/Havana",
        "Africa/Cairo",
        "Asia/Beirut",
        "America/Santiago",
        "Pacific/Apia",
        "Asia/Tokyo",
    ];

    proptest! {
        #[test]
        fn every_hour_is_of_the_last_start_before_it(
            from in 11_000i64..30_000,
            days in 1i64..1_500,
            zone in prop::sample::select(ZONES.to_vec()),
            month: bool,
            is_open: bool,
        ) {
            let step = if month { Step::Month } else { Step::Day };
            let day = |day: i64| Some(Instant::from_micros(day * DAY_S * 1_000_000));
            let zoned = Steps { step, zone: zone.parse().unwrap(), span: Span::default() };
            let (from, to) = (day(from).map(|from| zoned.start_of(from)), day(from + days));
            let steps = Steps { span: Span { from, to: to.filter(|_| !is_open) }, ..zoned };
            let starts: Vec<i64> = steps.starts().into_iter().flat_map(|range| range.step_by(DAY_S as usize)).collect();
            prop_assert!(starts.is_sorted_by(|one, next| one < next));
            let (from_s, to_s) = (from.unwrap().micros() / 1_000_000, to.unwrap().micros() / 1_000_000);
            for hour in (from_s..to_s).step_by(3_600) {
                let start = starts[starts.partition_point(|start| *start <= hour) - 1];
                let expected = steps.start_of(Instant::from_micros(hour * 1_000_000)).micros() / 1_000_000;
                prop_assert_eq!(start, expected, "{} in {}", hour, zone);
            }
        }
    }
}
