//! How the user says that times are written: in which zone, and in which form.
//!
//! Enters: the flags `--time-zone` and `--time-format`; then local times, and texts of that form. Leaves: microseconds
//! since 1970. The zone is that of times that have no offset of their own. Where clocks are put back, a local time that
//! occurs twice is the first of the two; where they are put forward, one that never occurs is read with the offset from
//! before (RFC 5545, section 3.3.5, "DATE-TIME"). Pure.

use chrono::format::{Fixed, Item, Parsed, StrftimeItems};
use chrono::{Days, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use clap::Args;

/// How many names are proposed for one that is none.
const PROPOSED_MAX: usize = 3;

/// The flags about times.
#[derive(Debug, Clone, Args)]
pub struct Times {
    /// Zone of times without an offset, by its IANA name, such as Europe/Berlin. Of a time that occurs twice when clocks
    /// are put back, the first is meant; one that is left out when they are put forward is read with the offset from
    /// before.
    #[arg(long, value_name = "ZONE", default_value = "UTC", value_parser = time_zone)]
    pub time_zone: Tz,
    /// How times are written, as for strftime: '%d.%m.%Y %H:%M:%S' or '%m/%d/%Y %I:%M %p'; no other form is read then
    /// [default: the forms below].
    #[arg(long, value_name = "FORMAT", value_parser = time_format)]
    pub time_format: Option<String>,
}

impl Times {
    /// The time at which clocks of the zone show this.
    pub fn at(&self, local: NaiveDateTime) -> Option<i64> {
        let utc = local.and_utc().timestamp_micros();
        if self.time_zone == Tz::UTC {
            return Some(utc);
        }
        let offset = |local: &NaiveDateTime| self.time_zone.offset_from_local_datetime(local).earliest();
        // No change of clocks leaves out more than a day.
        let offset = offset(&local).or_else(|| offset(&local.checked_sub_days(Days::new(1))?))?;
        utc.checked_sub(i64::from(offset.fix().local_minus_utc()) * 1_000_000)
    }

    /// The time in a text of this form. The parts of the time of day that the form leaves out are zero.
    pub fn of_format(&self, format: &str, text: &str) -> Option<i64> {
        let mut parsed = Parsed::new();
        chrono::format::parse(&mut parsed, text, StrftimeItems::new(format)).ok()?;
        if parsed.timestamp().is_some() {
            return Some(parsed.to_datetime().ok()?.timestamp_micros());
        }
        if parsed.hour_div_12().is_none() && parsed.hour_mod_12().is_none() {
            parsed.set_hour(0).ok()?;
        }
        if parsed.minute().is_none() {
            parsed.set_minute(0).ok()?;
        }
        match parsed.offset() {
            Some(_) => Some(parsed.to_datetime().ok()?.timestamp_micros()),
            None => self.at(parsed.to_naive_datetime_with_offset(0).ok()?),
        }
    }
}

fn time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| {
        let word = name.to_lowercase();
        let is_like = |zone: &&Tz| !word.is_empty() && zone.name().to_lowercase().contains(&word);
        let proposed: Vec<&str> = (TZ_VARIANTS.iter().filter(is_like))
            .map(|zone| zone.name())
            .take(PROPOSED_MAX)
            .collect();
        match &proposed[..] {
            [] => {
                "expected a name of the IANA time zone database, such as Europe/Berlin or America/New_York".to_owned()
            }
            names => format!("did you mean {}?", names.join(" or ")),
        }
    })
}

fn time_format(format: &str) -> Result<String, String> {
    for item in StrftimeItems::new(format) {
        match item {
            Item::Error => return Err("expected a form as for strftime, such as '%d.%m.%Y %H:%M:%S'".to_owned()),
            // It would be passed over, and the time be wrong by the offset of the zone.
            Item::Fixed(Fixed::TimezoneName) => {
                return Err(
                    "%Z cannot be read, since names like CST have several meanings; write the name itself in \
                            place of %Z, and use --time-zone"
                        .to_owned(),
                );
            }
            _ => {}
        }
    }
    Ok(format.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::testing::mapping;
    use crate::import::timestamp::parse_micros;

    /// The UTC time of a text that is read with these flags.
    fn utc(text: &str, flags: &[&str]) -> Option<String> {
        let time = chrono::DateTime::from_timestamp_micros(parse_micros(text, &mapping(flags).times)?)?;
        Some(time.format("%Y-%m-%d %H:%M:%S%.f").to_string())
    }

    fn berlin(text: &str) -> Option<String> {
        utc(text, &["--time-zone", "Europe/Berlin"])
    }

    #[test]
    fn the_zone_is_that_of_times_without_an_offset_only() {
        for (text, time) in [
            ("2024-01-15 10:00", "2024-01-15 09:00:00"),
            ("2024-07-15T10:00:00.5", "2024-07-15 08:00:00.500"),
            ("2024-07-15", "2024-07-14 22:00:00"),
            ("20240715100000", "2024-07-15 08:00:00"),
            ("2024-07-15 10:00:00Z", "2024-07-15 10:00:00"),
            ("2024-07-15 10:00:00 GMT", "2024-07-15 10:00:00"),
            ("2024-07-15T10:00:00-04:00", "2024-07-15 14:00:00"),
            ("1721037600", "2024-07-15 10:00:00"),
        ] {
            assert_eq!(berlin(text).as_deref(), Some(time), "{text}");
        }
    }

    #[test]
    fn a_local_time_that_occurs_twice_is_the_first_one() {
        assert_eq!(berlin("2024-10-27 02:30").as_deref(), Some("2024-10-27 00:30:00"));
        assert_eq!(berlin("2024-10-27 03:00").as_deref(), Some("2024-10-27 02:00:00"));
    }

    #[test]
    fn a_local_time_that_never_occurs_is_read_with_the_offset_from_before() {
        assert_eq!(berlin("2024-03-31 02:30").as_deref(), Some("2024-03-31 01:30:00"));
        assert_eq!(berlin("2024-03-31 03:30").as_deref(), Some("2024-03-31 01:30:00"));
        let samoa = utc("2011-12-30 12:00", &["--time-zone", "Pacific/Apia"]);
        assert_eq!(samoa.as_deref(), Some("2011-12-30 22:00:00"), "a day that was left out");
    }

    #[test]
    fn a_form_of_the_users_is_the_only_one() {
        let german = ["--time-format", "%d.%m.%Y %H:%M", "--time-zone", "Europe/Berlin"];
        assert_eq!(utc("05.06.2024 10:30", &german).as_deref(), Some("2024-06-05 08:30:00"));
        assert_eq!(utc("2024-06-05 10:30", &german), None);
        for (format, text, time) in [
            (
                "%m/%d/%Y %I:%M:%S %p",
                "6/5/2024 1:02:03 PM",
                Some("2024-06-05 13:02:03"),
            ),
            (
                "%d/%b/%Y:%H:%M:%S %z",
                "05/Jun/2024:10:30:00 +0200",
                Some("2024-06-05 08:30:00"),
            ),
            ("%d.%m.%y", "05.06.24", Some("2024-06-05 00:00:00")),
            ("%d.%m.%y %H", "05.06.24 7", Some("2024-06-05 07:00:00")),
            ("%s%.f", "1717583400.25", Some("2024-06-05 10:30:00.250")),
            ("%d.%m.%y %I:%M", "05.06.24 07:00", None),
            ("%d.%m.%y", "05.06.24 07:00", None),
            ("%d.%m.%y", "31.02.24", None),
            ("%H:%M", "07:00", None),
        ] {
            let zone = ["--time-format", format, "--time-zone", "UTC"];
            assert_eq!(utc(text, &zone).as_deref(), time, "{format} {text}");
        }
    }

    #[test]
    fn what_is_no_zone_and_no_form_is_refused_with_what_to_write() {
        for (name, said) in [
            ("berlin", "did you mean Europe/Berlin?"),
            ("CEST", "such as Europe/Berlin or America/New_York"),
            ("+02:00", "such as Europe/Berlin or America/New_York"),
            ("", "such as Europe/Berlin or America/New_York"),
        ] {
            let error = time_zone(name).unwrap_err();
            assert!(error.contains(said), "{name}: {error}");
        }
        assert!(time_format("%d.%m.%Y %").unwrap_err().contains("'%d.%m.%Y %H:%M:%S'"));
        assert!(time_format("%d %Z").unwrap_err().contains("--time-zone"));
    }
}
