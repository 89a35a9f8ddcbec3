//! The made-up company whose audit events and metrics the sample stream shows.
//!
//! Enters: nothing, or a time. Leaves: names, and how busy the company is at that time. Constants and pure functions.

use std::f64::consts::TAU;

const HOUR_US: i64 = 3_600_000_000;
const HOURS_A_DAY: f64 = 24.0;
/// The busiest hour of the day, UTC.
const PEAK_HOUR: f64 = 14.0;
/// How busy nights and weekends are, against 1 at the peak of a working day.
const NIGHT_LOAD: f64 = 0.15;
const WEEKEND_LOAD: f64 = 0.4;

/// A service with what runs inside it.
pub struct Service {
    pub id: &'static str,
    pub team: &'static str,
    pub plugins: &'static [&'static str],
    /// Requests a second of each of its instances at the peak.
    pub requests_per_s: f64,
    /// Median time that a request takes, in seconds.
    pub latency_s: f64,
}

pub const SERVICES: [Service; 6] = [
    Service {
        id: "checkout",
        team: "commerce",
        plugins: &["", "vouchers", "invoices"],
        requests_per_s: 40.0,
        latency_s: 0.120,
    },
    Service {
        id: "catalog",
        team: "commerce",
        plugins: &["", "recommendations"],
        requests_per_s: 220.0,
        latency_s: 0.018,
    },
    Service {
        id: "search",
        team: "discovery",
        plugins: &["", "synonyms"],
        requests_per_s: 150.0,
        latency_s: 0.045,
    },
    Service {
        id: "identity",
        team: "platform",
        plugins: &["", "sso"],
        requests_per_s: 60.0,
        latency_s: 0.009,
    },
    Service {
        id: "notifications",
        team: "platform",
        plugins: &["", "email", "sms"],
        requests_per_s: 25.0,
        latency_s: 0.300,
    },
    Service {
        id: "reports",
        team: "insights",
        plugins: &[""],
        requests_per_s: 3.0,
        latency_s: 1.800,
    },
];

pub const ENVIRONMENTS: [&str; 2] = ["production", "staging"];

/// A person, and the team that they work in.
pub const PEOPLE: [(&str, &str); 12] = [
    ("ada.nilsen", "platform"),
    ("bilal.haddad", "platform"),
    ("chiara.russo", "commerce"),
    ("dmitri.volkov", "commerce"),
    ("emeka.obi", "commerce"),
    ("fatima.zahra", "discovery"),
    ("greta.lindqvist", "discovery"),
    ("hiro.tanaka", "insights"),
    ("ines.carvalho", "insights"),
    ("jonas.weber", "security"),
    ("kavya.iyer", "security"),
    ("liam.byrne", "support"),
];

pub const ROLES: [&str; 5] = ["viewer", "editor", "billing", "auditor", "admin"];

/// How busy the company is, from 0 to 1.
pub fn load(time_us: i64) -> f64 {
    let hours = time_us as f64 / HOUR_US as f64;
    let hour = hours.rem_euclid(HOURS_A_DAY);
    let daylight = (1.0 + ((hour - PEAK_HOUR) / HOURS_A_DAY * TAU).cos()) / 2.0;
    // 1970-01-01 was a Thursday: days 2 and 3 of each seven are a Saturday and a Sunday.
    let day = (hours / HOURS_A_DAY).floor().rem_euclid(7.0);
    let week = if day == 2.0 || day == 3.0 { WEEKEND_LOAD } else { 1.0 };
    week * (NIGHT_LOAD + (1.0 - NIGHT_LOAD) * daylight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_busier_than_nights_and_weeks_than_weekends() {
        let at = |text: &str| load(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros());
        assert!(
            (at("2024-05-15T14:00:00Z") - 1.0).abs() < 1e-9,
            "a Wednesday at the peak"
        );
        assert!(at("2024-05-15T14:00:00Z") > at("2024-05-15T20:00:00Z"));
        assert!((at("2024-05-15T02:00:00Z") - NIGHT_LOAD).abs() < 1e-9);
        assert!((at("2024-05-18T14:00:00Z") - WEEKEND_LOAD).abs() < 1e-9, "a Saturday");
        assert!((at("2024-05-19T14:00:00Z") - WEEKEND_LOAD).abs() < 1e-9, "a Sunday");
        assert!((at("2024-05-20T14:00:00Z") - 1.0).abs() < 1e-9, "a Monday");
    }
}
