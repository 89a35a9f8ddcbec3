//! Times as people write them, to microseconds since 1970.
//!
//! Enters: text. Leaves: UTC microseconds, or nothing where it is no time. Accepted are RFC 3339 (`T` or a space, any
//! fraction, no seconds, `Z`, an offset, or no zone, which means that of [`Times`]), a bare date, both also without
//! separators or with slashes in the date, Go's printed form with its zone name and monotonic clock, and numbers since
//! 1970 in seconds, milliseconds, microseconds or nanoseconds, told apart by their size. Never guesses a local zone or
//! a day/month order: the user says them.

use chrono::{FixedOffset, NaiveDate, NaiveDateTime};

use super::output::{Skip, excerpt};
use super::times::Times;

/// Numbers up to here are seconds (the year 5138); a thousand times as many are milliseconds, and so on.
const SECONDS_MAX: f64 = 1e11;

/// Reads the time of a record from this field.
pub fn time_of(field: &str, text: &str, times: &Times) -> Result<i64, Skip> {
    if text.trim().is_empty() {
        return Err(Skip::missing(field));
    }
    parse_micros(text, times).ok_or_else(|| Skip::Time {
        field: field.to_owned(),
        text: excerpt(text),
        format: times.time_format.clone(),
    })
}

/// Reads a time.
pub fn parse_micros(text: &str, times: &Times) -> Option<i64> {
    let text = text.trim();
    if let Some(format) = &times.time_format {
        return times.of_format(format, text);
    }
    match text.as_bytes() {
        [_, _, _, _, b'-', ..] => date_and_time(text, times),
        [_, _, _, _, b'/', _, _, b'/', ..] => date_and_time(&text.replacen('/', "-", 2), times),
        [_, _, _, _, _, _, _, _, b'T', ..] => read(text, ["%Y%m%dT%H%M%S%.f", "%Y%m%dT%H%M"], times),
        // A year, rather than one of the first seconds of 1970.
        [b'1' | b'2', _, _, _] if text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        // Read as numbers, today's dates would be times of 1970, 1976 and 2611, of which nobody has samples.
        [b'1' | b'2', ..] if matches!(text.len(), 8 | 12 | 14) => basic(text, times).or_else(|| since_1970(text)),
        _ => since_1970(text),
    }
}

fn date_and_time(text: &str, times: &Times) -> Option<i64> {
    if text.len() == 10 {
        return times.at(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?);
    }
    match text.as_bytes().get(10)? {
        b' ' => read(text, ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"], times),
        b'T' => read(text, ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"], times),
        _ => None,
    }
}

/// A date and a time of day in the first of the forms that fits, and a zone.
fn read(text: &str, formats: [&str; 2], times: &Times) -> Option<i64> {
    let parse = |format| NaiveDateTime::parse_and_remainder(text, format).ok();
    let (local, zone) = formats.into_iter().find_map(parse)?;
    match zone.trim() {
        "" => times.at(local),
        zone => (local.and_utc().timestamp_micros()).checked_sub(offset_micros(zone)?),
    }
}

/// `20240501`, `202405011530` or `20240501153059`.
fn basic(text: &str, times: &Times) -> Option<i64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{text:0<14}");
    times.at(NaiveDateTime::parse_from_str(&digits, "%Y%m%d%H%M%S").ok()?)
}

/// The offset of a zone: `Z`, `UTC`, `GMT`, `+02:00`, `+0200`, PostgreSQL's `+02`, or Go's `+0000 UTC m=+0.113`.
fn offset_micros(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") || zone == "UTC" || zone == "GMT" {
        return Some(0);
    }
    let mut words = zone.split_ascii_whitespace();
    let word = words.next()?;
    let offset: FixedOffset = match word.len() {
        3 => format!("{word}:00").parse(),
        _ => word.parse(),
    }
    .ok()?;
    // Go prints the zone's name, or the offset again, and then the reading of the monotonic clock.
    let is_go_suffix = |word: &str| {
        word.starts_with("m=") || word.bytes().all(|b| b.is_ascii_uppercase()) || word.parse::<FixedOffset>().is_ok()
    };
    words
        .all(is_go_suffix)
        .then(|| i64::from(offset.local_minus_utc()) * 1_000_000)
}

fn since_1970(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return match number.unsigned_abs() as f64 {
            size if size < SECONDS_MAX => number.checked_mul(1_000_000),
            size if size < SECONDS_MAX * 1e3 => number.checked_mul(1_000),
            size if size < SECONDS_MAX * 1e6 => Some(number),
            _ => Some(number.div_euclid(1_000)),
        };
    }
    let number = text.parse::<f64>().ok()?;
    let micros = match number.abs() {
        size if size < SECONDS_MAX => number * 1e6,
        size if size < SECONDS_MAX * 1e3 => number * 1e3,
        size if size < SECONDS_MAX * 1e6 => number,
        size if size < SECONDS_MAX * 1e9 => number / 1e3,
        _ => return None,
    };
    Some(micros.round() as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::testing::mapping;

    fn parse_micros(text: &str) -> Option<i64> {
        super::parse_micros(text, &mapping(&[]).times)
    }

    /// 2022-08-22 03:51:19 UTC, in seconds.
    const SECOND: i64 = 1_661_140_279;

    #[test]
    fn reads_every_documented_form_of_the_same_second() {
        for text in [
            "2022-08-22 03:51:19",
            "20220822035119",
            "2022-08-22T03:51:19Z",
            "2022-08-22T03:51:19z",
            "2022-08-22 03:51:19 UTC",
            "2022-08-22 03:51:19 GMT",
            "2022/08/22 03:51:19",
            "2022/08/22T05:51:19+02:00",
            "20220822T035119Z",
            "20220822T035119.000+0000",
            "20220822T035119",
            "2022-08-22T05:51:19+02:00",
            "2022-08-21 23:51:19 -0400",
            "2022-08-22 05:51:19+02",
            "2022-08-22 05:51:19 +0200 CEST m=+0.113112869",
            "2022-08-22 03:51:19.000000000 +0000 UTC m=-12.5",
            " 1661140279 ",
            "1661140279000",
            "1661140279000000",
            "1661140279000000000",
            "1661140279.0",
            "1661140279000.0",
        ] {
            assert_eq!(parse_micros(text), Some(SECOND * 1_000_000), "{text}");
        }
    }

    #[test]
    fn keeps_microseconds_and_cuts_what_is_finer() {
        assert_eq!(
            parse_micros("2022-08-22 03:51:19.607158889 +0000 UTC m=+0.11"),
            Some(SECOND * 1_000_000 + 607_158)
        );
        assert_eq!(parse_micros("1661140279.5"), Some(SECOND * 1_000_000 + 500_000));
        assert_eq!(parse_micros("1970-01-02"), Some(86_400_000_000));
        assert_eq!(parse_micros("19700102"), Some(86_400_000_000));
        assert_eq!(parse_micros("1970/01/02"), Some(86_400_000_000));
        assert_eq!(parse_micros("1970/01/02 00:00"), Some(86_400_000_000));
        assert_eq!(parse_micros("19700102T0000"), Some(86_400_000_000));
        assert_eq!(parse_micros("1970-01-02T00:01+00:01"), Some(86_400_000_000));
        assert_eq!(parse_micros("1969-12-31T23:59:59.999999Z"), Some(-1));
    }

    #[test]
    fn refuses_what_is_no_time() {
        for text in [
            "",
            "now",
            "1959",
            "2024",
            "NaN",
            "inf",
            "2022-13-01",
            "2022-08-22 25:00:00",
            "22/08/2022",
            "2022/08/2x",
            "2022/13/01",
            "20220822T",
            "20220822T03",
            "2022-08-22 03:51:19 what?",
            "2022-08-22x03:51:19",
            "2022-08-22 03:51 o'clock",
            "2022-08-22 03:51:19 abc",
            "1e300",
        ] {
            assert_eq!(parse_micros(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_of_day_is_told_from_other_texts() {
        let said = |text: &str, flags: &[&str]| time_of("Time", text, &mapping(flags).times).unwrap_err().to_string();
        let format = ["--time-format", "%d.%m.%Y"];
        assert!(said("18:00:00", &[]).contains("`18:00:00` in `Time` is not a time; it has no date"));
        assert!(said("6:00 PM", &format).contains("it has no date"));
        assert!(said("31/12/2024 18:00", &[]).contains("--time-format '%d.%m.%Y %H:%M:%S'"));
        assert!(said("2024-12-31", &format).ends_with("it is not written as --time-format says: %d.%m.%Y"));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            parse_micros(&text);
        }

        #[test]
        fn never_panics_on_what_looks_like_a_time(text in "[0-9]{4}[-/]?[0-9]{2}[-/]?[0-9]{2}[ T][0-9:.+Z -]{0,30}[a-zA-Zé=]{0,4}") {
            parse_micros(&text);
        }

        #[test]
        fn reads_back_what_rfc_3339_writes(micros in 0i64..4_102_444_800_000_000) {
            let text = chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
            prop_assert_eq!(parse_micros(&text), Some(micros));
        }
    }
}
