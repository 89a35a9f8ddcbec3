//! Moments in parameters: RFC 3339, a date, or seconds since 1970; always UTC once parsed.
//!
//! Enters: a parameter's text. Leaves: microseconds since 1970, which can be ordered and compared. Never reads the
//! clock.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, Utc};
use horolog_schemas::TIME_MIN_US;
use serde::de::Error as _;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};

use crate::api::Problem;

const MICROS_A_SECOND: i64 = 1_000_000;
/// Beyond this (the year 5138), a number is milliseconds by mistake.
const EPOCH_SECONDS_MAX: u64 = 99_999_999_999;
/// Before this (the year 2000; nothing stored is older), a number is a date by mistake: 2026, 20260131.
const EPOCH_SECONDS_MIN: i64 = TIME_MIN_US / MICROS_A_SECOND;
/// The range of RFC 3339: the years 0 to 9999.
const RFC_3339_MICROS: RangeInclusive<i64> = -62_167_219_200 * MICROS_A_SECOND..=253_402_300_800 * MICROS_A_SECOND - 1;
/// The range of ClickHouse's `DateTime64(6)`: the years 1900 to 2299.
const DATETIME64_MICROS: (i64, i64) = (-2_208_988_800 * MICROS_A_SECOND, 10_413_791_999 * MICROS_A_SECOND);

/// A moment in UTC, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    micros: i64,
}

/// A half-open span of time; either end may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First moment included.
    pub from: Option<Instant>,
    /// First moment after the span.
    pub to: Option<Instant>,
}

impl Span {
    /// From the parameters `from` and `to`.
    pub fn new(from: Option<Instant>, to: Option<Instant>) -> Result<Self, Problem> {
        match (from, to) {
            (Some(from), Some(to)) if from >= to => Err(Problem::parameter("to", "must be after from")),
            _ => Ok(Self { from, to }),
        }
    }
}

/// An end of a span: a moment, or a day, whose midnight depends on the requested time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// A moment.
    At(Instant),
    /// The beginning of a day.
    Day(NaiveDate),
}

impl Edge {
    /// Parses one of the three formats.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        match text.parse() {
            Ok(date) => Ok(Self::Day(date)),
            Err(_) => Instant::parse(text).map(Self::At),
        }
    }

    /// The moment, given the midnights of a time zone.
    pub fn at(self, midnight: impl FnOnce(NaiveDate) -> Instant) -> Instant {
        match self {
            Self::At(moment) => moment,
            Self::Day(date) => midnight(date),
        }
    }
}

/// Why a text is not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    /// None of the three formats.
    #[error(
        "expected RFC 3339 (2026-01-31T12:00:00Z), a date (2026-01-31) or seconds since 1970; a + in a URL is written %2B"
    )]
    Form,
    /// A number too large to be seconds.
    #[error("expected seconds since 1970; this looks like milliseconds")]
    NotSeconds,
    /// A number too small to be seconds; 0 and negative numbers are accepted and mean the beginning.
    #[error("is before the year 2000 in seconds since 1970; write a date as 2026-01-31")]
    TooEarly,
}

impl Instant {
    /// From microseconds since 1970.
    pub fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// From milliseconds since 1970.
    pub fn from_millis(millis: i64) -> Self {
        Self {
            micros: millis.saturating_mul(1_000),
        }
    }

    /// From seconds since 1970.
    pub fn from_seconds(seconds: u32) -> Self {
        Self {
            micros: i64::from(seconds) * MICROS_A_SECOND,
        }
    }

    /// Serializes fields that hold milliseconds since 1970 as moments.
    pub fn serialize_millis<S: serde::Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&Self::from_millis(*millis), serializer)
    }

    /// Serializes fields that hold seconds since 1970 as moments.
    pub fn serialize_seconds<S: serde::Serializer>(seconds: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&Self::from_seconds(*seconds), serializer)
    }

    /// Parses one of the three formats.
    pub fn parse(text: &str) -> Result<Self, InstantError> {
        let micros = if let Ok(seconds) = text.parse::<i64>() {
            if seconds.unsigned_abs() > EPOCH_SECONDS_MAX {
                return Err(InstantError::NotSeconds);
            }
            if (1..EPOCH_SECONDS_MIN).contains(&seconds) {
                return Err(InstantError::TooEarly);
            }
            seconds * MICROS_A_SECOND
        } else if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            time.timestamp_micros()
        } else {
            let date = text.parse::<NaiveDate>().map_err(|_| InstantError::Form)?;
            date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()
        };
        match RFC_3339_MICROS.contains(&micros) {
            true => Ok(Self { micros }),
            false => Err(InstantError::Form),
        }
    }

    /// The first moment after it.
    pub fn next(self) -> Self {
        Self {
            micros: self.micros.saturating_add(1),
        }
    }

    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// As a bound for a `DateTime64(6)` column: clamped to the column's range.
    pub fn datetime64_bound(self) -> i64 {
        self.micros.clamp(DATETIME64_MICROS.0, DATETIME64_MICROS.1)
    }

    /// As a bound for a `DateTime` column of whole seconds: the first second at or after this moment, clamped, because
    /// the column would wrap around.
    pub fn datetime_bound(self) -> u32 {
        let seconds = self.micros.div_euclid(MICROS_A_SECOND) + i64::from(self.micros.rem_euclid(MICROS_A_SECOND) > 0);
        u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
    }

    /// RFC 3339 with `Z`, with as many decimals as needed.
    pub fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp_micros(self.micros)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::AutoSi, true)
    }
}

impl serde::Serialize for Instant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl serde::Serialize for Edge {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::At(moment) => moment.serialize(serializer),
            Self::Day(date) => date.serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Edge {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl utoipa::PartialSchema for Edge {
    fn schema() -> RefOr<Schema> {
        Instant::schema()
    }
}

impl utoipa::ToSchema for Edge {
    fn name() -> Cow<'static, str> {
        "Edge".into()
    }
}

impl<'de> serde::Deserialize<'de> for Instant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl utoipa::PartialSchema for Instant {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some(
                "RFC 3339; always UTC in answers. Requests may also give a date (2026-01-31) or seconds since 1970.",
            ))
            .into()
    }
}

impl utoipa::ToSchema for Instant {
    fn name() -> Cow<'static, str> {
        "Instant".into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_forms_of_one_moment_are_equal() {
        let moment = Instant::from_seconds(1_767_225_600);
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01T02:00:00+02:00",
            "2026-01-01",
            "1767225600",
        ] {
            assert_eq!(Instant::parse(text), Ok(moment), "{text}");
        }
        assert_eq!(moment.to_rfc3339(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn milliseconds_are_not_taken_for_seconds() {
        assert_eq!(Instant::parse("1767225600000"), Err(InstantError::NotSeconds));
        for text in [i64::MIN, i64::MIN + 1, i64::MAX].map(|seconds| seconds.to_string()) {
            assert_eq!(Instant::parse(&text), Err(InstantError::NotSeconds), "{text}");
        }
    }

    #[test]
    fn a_date_without_dashes_is_not_taken_for_seconds() {
        for text in ["1", "2026", "202601", "20260131", "946684799"] {
            assert_eq!(Instant::parse(text), Err(InstantError::TooEarly), "{text}");
            assert_eq!(Edge::parse(text), Err(InstantError::TooEarly), "{text}");
        }
        for text in ["0", "-1", "946684800"] {
            assert!(Instant::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_bound_beyond_the_column_does_not_wrap_around() {
        let [early, late] = ["1000-01-01", "9999-12-31"].map(|text| Instant::parse(text).unwrap());
        assert_eq!((early.datetime_bound(), late.datetime_bound()), (0, u32::MAX));
        assert!(early.datetime64_bound() < 0 && late.datetime64_bound() < late.micros());
    }

    #[test]
    fn what_rfc_3339_cannot_write_is_refused() {
        for text in [
            "-99999999999",
            "-0001-01-01",
            "+12345-01-01",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Instant::parse(text), Err(InstantError::Form), "{text}");
        }
        for text in ["0000-01-01", "9999-12-31T23:59:59.999999Z"] {
            let moment = Instant::parse(text).unwrap();
            assert_eq!(Instant::parse(&moment.to_rfc3339()), Ok(moment), "{text}");
        }
    }

    #[test]
    fn half_a_second_after_an_hour_is_after_it() {
        assert_eq!(
            Instant::parse("2026-01-01T00:00:00.5Z").unwrap().datetime_bound(),
            1_767_225_601
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_moment_or_an_error(text in "\\PC{0,40}|[0-9TZ:.+ -]{0,30}") {
            if let Ok(moment) = Instant::parse(&text) {
                prop_assert_eq!(Instant::parse(&moment.to_rfc3339()), Ok(moment));
            }
        }
    }
}
