//! Durations as people write them: `250ms`, `30s`, `10m`, `2h`, `1.5s`. Pure.

use std::time::Duration;

const UNITS: [(&str, f64); 5] = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
/// A month: nothing here runs for longer.
const LONGEST_S: f64 = 31.0 * 86_400.0;

/// Parses a duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = &text[digits.len()..];
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    let number = digits.parse::<f64>().ok().filter(|number| *number >= 0.0);
    match (number, factor) {
        (Some(number), Some(factor)) if number * factor <= LONGEST_S => Ok(Duration::from_secs_f64(number * factor)),
        (Some(_), Some(_)) => Err(format!("`{text}` is longer than 31 days")),
        _ => Err(format!("`{text}` is not a duration; write 250ms, 30s, 10m or 2h")),
    }
}

/// Formats a duration, to three digits.
pub fn text(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.001 => format!("{:.0} us", seconds * 1e6),
        ..0.01 => format!("{:.2} ms", seconds * 1e3),
        ..0.1 => format!("{:.1} ms", seconds * 1e3),
        ..1.0 => format!("{:.0} ms", seconds * 1e3),
        ..10.0 => format!("{seconds:.2} s"),
        ..100.0 => format!("{seconds:.1} s"),
        ..600.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.1} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

/// Formats a duration without trailing zeros, for the labels of a grid.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.000_999 => format!("{} us", round(seconds * 1e6)),
        ..0.999 => format!("{} ms", round(seconds * 1e3)),
        _ => format!("{} s", round(seconds)),
    }
}

/// Rounds to three decimals.
fn round(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        for (text, millis) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("1.5m", 90_000),
            ("2h", 7_200_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "10", "s", "-1s", "1 s", "1d", "infs", "NaNs", "9999h", "1e400s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn three_digits_are_written() {
        for (micros, expected) in [
            (7, "7 us"),
            (1_234, "1.23 ms"),
            (250_000, "250 ms"),
            (1_500_000, "1.50 s"),
            (90_000_000, "90.0 s"),
        ] {
            assert_eq!(text(Duration::from_micros(micros)), expected);
        }
    }
}
