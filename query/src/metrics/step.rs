//! The time that a row of an answer covers: an hour, or a day or month of a time zone.
//!
//! Enters: a step, a zone and the requested span. Leaves: the span in whole steps, the end of each row, and ([`starts`])
//! the SQL of its start. Hours are stored in UTC: a zone whose offset has a fraction of an hour anywhere in the span is
//! refused, because its days are not made of whole hours. Pure.

mod starts;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use horolog_schemas::TIME_MIN_US;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Problem;
use crate::api::instant::{Edge, Instant, Span};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;
/// The range of ClickHouse's `DateTime`, less a margin for a month and a zone. Seconds since 1970.
const MOMENTS_S: (i64, i64) = (0, 4_291_747_200);
/// No sample is older, so the offsets of zones before it do not matter.
const OLDEST_S: i64 = TIME_MIN_US / 1_000_000;
/// No zone changes its offset and back within this many days.
const LOOK_AT_OFFSET_EVERY_DAYS: i64 = 7;

/// The time that a row covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An hour (UTC).
    Hour,
    /// A day of a time zone.
    Day,
    /// A month of a time zone.
    Month,
}

impl Step {
    /// Its name in URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Month => "monthly",
        }
    }
}

/// The steps of one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    step: Step,
    zone: Tz,
    /// Whole steps; open ends stay open.
    pub span: Span,
}

impl Steps {
    /// The steps that overlap the span. A date means midnight in the zone.
    pub fn new(step: Step, zone: Option<&str>, from: Option<Edge>, to: Option<Edge>) -> Result<Self, Problem> {
        let zone = match zone {
            None => Tz::UTC,
            Some(name) => name
                .parse()
                .map_err(|_| Problem::parameter("zone", "expected the name of a time zone, such as Europe/Berlin"))?,
        };
        let at = |edge: Option<Edge>| edge.map(|edge| edge.at(|date| midnight(zone, date)));
        let asked = Span::new(at(from), at(to))?;
        let steps = Self {
            step,
            zone,
            span: asked,
        };
        let span = Span {
            from: asked.from.map(|from| steps.start_of(from)),
            to: asked.to.map(|to| {
                let start = steps.start_of(to);
                if start == to { to } else { steps.end_of(start) }
            }),
        };
        let steps = Self { span, ..steps };
        steps.check_offsets()?;
        Ok(steps)
    }

    /// The parts by which rows are cached: days for rows by hour and day, months for rows by month. Mostly only the
    /// newest day changes.
    pub fn parts(&self) -> Self {
        let step = match self.step {
            Step::Hour | Step::Day => Step::Day,
            Step::Month => Step::Month,
        };
        Self { step, ..*self }
    }

    /// Whether rows are hours.
    pub fn are_hours(&self) -> bool {
        self.step == Step::Hour
    }

    /// Whether rows are made of whole UTC days.
    pub fn are_days_of_utc(&self) -> bool {
        self.step != Step::Hour && self.zone == Tz::UTC
    }

    /// The span split at the starts of steps, with the start of each; `None` if it is open.
    pub fn cut(&self) -> Option<Vec<(Instant, Span)>> {
        let (from, to) = (self.span.from?, self.span.to?);
        let mut parts = Vec::new();
        let mut from = from;
        while from < to {
            let start = self.start_of(from);
            let end = self.end_of(start).min(to);
            if end <= from {
                return None;
            }
            let span = Span {
                from: Some(from),
                to: Some(end),
            };
            parts.push((start, span));
            from = end;
        }
        Some(parts)
    }

    /// The maximum number of rows of a series; `None` if the span is open.
    pub fn most(&self) -> Option<u64> {
        let (from, to) = (self.span.from?, self.span.to?);
        // The shortest day has 23 hours, the shortest month 28 days.
        let shortest_h = match self.step {
            Step::Hour => 1,
            Step::Day => 23,
            Step::Month => 28 * 24 - 1,
        };
        let span_us = u64::try_from(to.micros().saturating_sub(from.micros())).ok()?;
        Some(span_us / (shortest_h * HOUR_S as u64 * 1_000_000) + 1)
    }

    /// The end of the row that starts at `start`.
    pub fn end_of(&self, start: Instant) -> Instant {
        let next = |date: NaiveDate| match self.step {
            Step::Month => date.checked_add_months(Months::new(1)),
            Step::Day | Step::Hour => date.checked_add_days(Days::new(1)),
        };
        match self.step {
            Step::Hour => Instant::from_micros(start.micros().saturating_add(HOUR_S * 1_000_000)),
            Step::Day | Step::Month => {
                let date = local(self.zone, start).date_naive();
                next(date).map_or(start, |date| midnight(self.zone, date))
            }
        }
    }

    fn start_of(&self, moment: Instant) -> Instant {
        match self.step {
            Step::Hour => {
                let hour = HOUR_S * 1_000_000;
                Instant::from_micros(moment.micros().div_euclid(hour).saturating_mul(hour))
            }
            Step::Day => midnight(self.zone, local(self.zone, moment).date_naive()),
            Step::Month => {
                let date = local(self.zone, moment).date_naive();
                midnight(self.zone, date.with_day(1).unwrap_or(date))
            }
        }
    }

    /// The span in seconds since 1970, where there may be samples.
    fn bounds_s(&self) -> (i64, i64) {
        let bound = |edge: Option<Instant>, open: i64| {
            edge.map_or(open, |edge| {
                edge.micros().div_euclid(1_000_000).clamp(OLDEST_S, MOMENTS_S.1)
            })
        };
        (bound(self.span.from, OLDEST_S), bound(self.span.to, MOMENTS_S.1))
    }

    /// Refuses offsets with a fraction of an hour: their days cannot be made of UTC hours.
    fn check_offsets(&self) -> Result<(), Problem> {
        if self.step == Step::Hour || self.zone == Tz::UTC {
            return Ok(());
        }
        let (from, to) = self.bounds_s();
        let step = (LOOK_AT_OFFSET_EVERY_DAYS * DAY_S) as usize;
        let off = |second: &i64| offset_s(self.zone, *second) % HOUR_S != 0;
        match (from..to).step_by(step).chain([to]).find(off) {
            None => Ok(()),
            Some(second) => Err(Problem::parameter(
                "zone",
                format!(
                    "{} is {} minutes off UTC at {}, which is not a whole number of hours: its days cannot be made of UTC hours",
                    self.zone.name(),
                    offset_s(self.zone, second) / 60,
                    Instant::from_micros(second * 1_000_000).to_rfc3339(),
                ),
            )),
        }
    }
}

fn local(zone: Tz, moment: Instant) -> DateTime<Tz> {
    let seconds = moment.micros().div_euclid(1_000_000).clamp(MOMENTS_S.0, MOMENTS_S.1);
    let utc = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default();
    utc.with_timezone(&zone)
}

fn offset_s(zone: Tz, second: i64) -> i64 {
    let moment = local(zone, Instant::from_micros(second.saturating_mul(1_000_000)));
    moment.offset().fix().local_minus_utc().into()
}

/// The first moment of a day in a zone: if the clock is put forward at midnight, the day begins an hour later. A date
/// that the zone left out (Samoa's 30 December 2011) is none: the next one begins there.
fn midnight(zone: Tz, date: NaiveDate) -> Instant {
    let start = date.and_time(NaiveTime::MIN);
    let first = (0..=24)
        .filter_map(|hours| {
            zone.from_local_datetime(&(start + chrono::TimeDelta::hours(hours)))
                .earliest()
        })
        .next();
    let moment = first.map_or_else(|| start.and_utc(), |moment| moment.with_timezone(&Utc));
    Instant::from_micros(moment.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edge(text: &str) -> Option<Edge> {
        Some(Edge::parse(text).unwrap())
    }

    fn steps(step: Step, zone: &str, from: &str, to: &str) -> Result<Steps, Problem> {
        Steps::new(step, Some(zone), edge(from), edge(to))
    }

    fn shown(steps: Steps) -> [String; 2] {
        [steps.span.from, steps.span.to].map(|edge| edge.unwrap().to_rfc3339())
    }

    #[test]
    fn a_date_is_a_day_of_the_zone_and_touched_days_are_whole() {
        let berlin = steps(Step::Day, "Europe/Berlin", "2026-03-29", "2026-03-30").unwrap();
        assert_eq!(
            shown(berlin),
            ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
            "23 hours"
        );
        let touched = steps(
            Step::Month,
            "America/New_York",
            "2026-01-31T12:00:00Z",
            "2026-02-01T12:00:00Z",
        )
        .unwrap();
        assert_eq!(shown(touched), ["2026-01-01T05:00:00Z", "2026-03-01T05:00:00Z"]);
        let hours = steps(Step::Hour, "UTC", "2026-01-01T06:30:00Z", "2026-01-01T07:30:00Z").unwrap();
        assert_eq!(shown(hours), ["2026-01-01T06:00:00Z", "2026-01-01T08:00:00Z"]);
    }

    #[test]
    fn a_zone_that_was_off_by_minutes_before_there_were_samples_is_taken_without_a_span() {
        for zone in ["Asia/Singapore", "America/Montevideo"] {
            assert!(Steps::new(Step::Day, Some(zone), None, None).is_ok(), "{zone}");
        }
        assert!(Steps::new(Step::Day, Some("Asia/Kolkata"), None, None).is_err());
    }

    #[test]
    fn a_zone_with_half_hours_in_the_span_is_refused_with_the_reason() {
        let problem = steps(Step::Day, "Asia/Kolkata", "2026-01-01", "2026-02-01").unwrap_err();
        assert_eq!(problem.named_parameter(), Some("zone"));
        assert!(problem.to_string().contains("330 minutes"), "{problem}");
        // The half hour is only in its daylight saving time.
        assert!(steps(Step::Day, "Australia/Lord_Howe", "2026-01-01", "2026-02-01").is_ok());
        assert!(steps(Step::Day, "Australia/Lord_Howe", "2026-01-01", "2026-07-01").is_err());
        assert!(steps(Step::Day, "Mars/Base", "2026-01-01", "2026-02-01").is_err());
        assert!(Steps::new(Step::Day, Some("Europe/Berlin"), None, None).is_ok());
    }

    #[test]
    fn hours_and_days_are_remembered_by_days_of_their_zone_and_months_by_months() {
        let cut = |step, zone, from, to| {
            let parts = steps(step, zone, from, to).unwrap().parts().cut().unwrap();
            parts
                .iter()
                .map(|(start, span)| {
                    [*start, span.from.unwrap(), span.to.unwrap()].map(|edge| edge.to_rfc3339()[..16].to_owned())
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(
            cut(Step::Hour, "UTC", "2026-01-01T22:00:00Z", "2026-01-02T02:00:00Z"),
            [
                ["2026-01-01T00:00", "2026-01-01T22:00", "2026-01-02T00:00"],
                ["2026-01-02T00:00", "2026-01-02T00:00", "2026-01-02T02:00"],
            ]
        );
        assert_eq!(
            cut(Step::Day, "Europe/Berlin", "2026-03-29", "2026-03-31"),
            [
                ["2026-03-28T23:00", "2026-03-28T23:00", "2026-03-29T22:00"],
                ["2026-03-29T22:00", "2026-03-29T22:00", "2026-03-30T22:00"],
            ]
        );
        assert_eq!(
            cut(Step::Month, "Europe/Berlin", "2026-03-31", "2026-04-02"),
            [
                ["2026-02-28T23:00", "2026-02-28T23:00", "2026-03-31T22:00"],
                ["2026-03-31T22:00", "2026-03-31T22:00", "2026-04-30T22:00"],
            ]
        );
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_span_once(from in 0i64..30_000, days in 1i64..1_000, zone in prop::sample::select(vec!["Europe/Berlin", "America/Sao_Paulo", "UTC"]), kind in 0usize..3) {
            let step = [Step::Hour, Step::Day, Step::Month][kind];
            let zone = if step == Step::Hour { Tz::UTC } else { zone.parse().unwrap() };
            let day = |day: i64| Some(Edge::At(Instant::from_micros(day * 86_400_000_000)));
            let steps = Steps::new(step, Some(zone.name()), day(from), day(from + days)).unwrap();
            let parts = steps.parts().cut().unwrap();
            prop_assert_eq!(parts[0].1.from, steps.span.from);
            prop_assert_eq!(parts[parts.len() - 1].1.to, steps.span.to);
            for pair in parts.windows(2) {
                prop_assert_eq!(pair[0].1.to, pair[1].1.from);
                prop_assert_eq!(Some(pair[1].0), pair[1].1.from);
            }
        }

        #[test]
        fn rows_follow_each_other_without_a_gap(day in 0i64..40_000, zone in prop::sample::select(vec!["Europe/Berlin", "America/Sao_Paulo", "Asia/Tokyo", "UTC"]), month: bool) {
            let step = if month { Step::Month } else { Step::Day };
            let steps = Steps { step, zone: zone.parse().unwrap(), span: Span::default() };
            let start = steps.start_of(Instant::from_micros(day * 86_400_000_000));
            let end = steps.end_of(start);
            prop_assert!(end > start);
            prop_assert_eq!(steps.start_of(end), end);
            prop_assert_eq!(steps.start_of(Instant::from_micros(end.micros() - 1)), start);
        }
    }
}
