//! Service health: latency, errors and burn rate of the last complete hour.

use std::sync::OnceLock;

use crate::bed::{Bed, now_ms};

const HOUR_MS: i64 = 3_600_000;

/// A bed of their own: no stage of another test completes a later hour than these say.
fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(Bed::start)
}

/// The last complete hour of the topic `health`: the same for all tests, whenever they run.
fn hour() -> i64 {
    static HOUR: OnceLock<i64> = OnceLock::new();
    *HOUR.get_or_init(|| now_ms() / HOUR_MS - 2)
}

fn sql_of(hour: i64) -> String {
    format!("toDateTime({}, 'UTC')", hour * HOUR_MS / 1_000)
}

/// Hours and counters as the stage and the upkeep would have written them.
fn insert_services(tenant: &str, topic: &str, hour: i64) {
    let (bed, hour) = (bed(), sql_of(hour));
    bed.execute(&format!(
        "insert into metrics_hourly (tenant_id, metric_name, hour, service_id, environment, metric_type, unit, kafka_topic, count, min, max, positive, inserted_at) \
         select '{tenant}', 'http.server.request.duration', {hour}, arrayJoin(['api', 'silent']), 'production', 'histogram', 'ms', '{topic}', 100, \
         1., 1024., map(toInt32(-1), toUInt64(98), toInt32(639), toUInt64(2)), now64(3)"
    ));
    let revision = 4_000_000_000_000_u64;
    bed.execute(&format!(
        "insert into counter_hourly (tenant_id, metric_name, hour, service_id, environment, series_id, kafka_topic, revision, labels, series, increase, inserted_at) \
         select '{tenant}', 'http_requests_total', {hour}, 'api', 'production', number + 1, '{topic}', {revision}, \
         map('status', ['200', '503', '500'][number + 1]), 1, [9970., 20., 10.][number + 1], now64(3) from numbers(3)"
    ));
    bed.execute(&format!(
        "insert into counter_revisions (tenant_id, hour, kafka_topic, decided_at, revision, inserted_at) select '{tenant}', {hour}, '{topic}', now64(3), {revision}, now64(3)"
    ));
    bed.execute(&format!(
        "insert into upkeep_progress select 'counters', '{topic}', {hour} + interval 1 hour, now64(3), now64(3)"
    ));
}

#[test]
fn a_service_is_measured_against_its_objective() {
    insert_services("health", "health", hour());
    let bed = bed();
    let read = || -> (f64, f64, f64, f64, f64, u8) {
        bed.one(
            "select assumeNotNull(latency_p99_s), assumeNotNull(requests), assumeNotNull(error_rate), objective, \
             assumeNotNull(burn_rate), toUInt8(assumeNotNull(objective_met)) \
             from service_health_summary where tenant_id = 'health' and service_id = 'api'",
        )
    };
    let (p99, requests, error_rate, objective, burn_rate, met) = read();
    assert!(
        (p99 - 1.024).abs() < 0.006 * 1.024,
        "the 99th of 100 is one of the two slow ones: {p99}"
    );
    assert_eq!((requests, error_rate, objective, met), (10_000.0, 0.003, 0.999, 0));
    assert!((burn_rate - 3.0).abs() < 1e-9, "{burn_rate}");
    bed.execute("insert into service_objectives (tenant_id, service_id, environment, availability) values ('health', 'api', '', 0.99)");
    let (.., objective, burn_rate, met) = read();
    assert_eq!((objective, met), (0.99, 1));
    assert!((burn_rate - 0.3).abs() < 1e-9, "{burn_rate}");
}

#[test]
fn unknown_errors_are_null_and_not_zero() {
    insert_services("unknown", "health", hour());
    let (requests, error_rate): (f64, u8) = bed().one(
        "select assumeNotNull(requests), isNull(error_rate) from service_health_summary \
         where tenant_id = 'unknown' and service_id = 'silent'",
    );
    assert_eq!(
        (requests, error_rate),
        (100.0, 1),
        "the observations of its latency are its requests"
    );
}

#[test]
fn each_topic_has_a_last_complete_hour_of_its_own() {
    let bed = bed();
    insert_services("two", "health", hour());
    insert_services("two", "ahead", hour() + 1);
    let mut told: Vec<(String, u32, f64)> = bed.sql(
        "select toString(kafka_topic), toUInt32(hour), assumeNotNull(requests) from service_health_summary \
         where tenant_id = 'two' and service_id = 'api'",
    );
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let start = |hour: i64| (hour * HOUR_MS / 1_000) as u32;
    assert_eq!(
        told,
        [
            ("ahead".to_owned(), start(hour() + 1), 10_000.0),
            ("health".to_owned(), start(hour()), 10_000.0)
        ]
    );
    // The topic that is behind has an open hour, which the other has completed.
    let open = sql_of(hour() + 1);
    bed.execute(&format!(
        "insert into metrics (tenant_id, time, metric_name, metric_type, value, kafka_topic, kafka_offset, log_epoch, inserted_at) \
         select 'two', toDateTime64({open}, 6, 'UTC') + number, 'jobs', 'counter', 5 * number, 'health', number, 1, now64(3) \
         from numbers(4)"
    ));
    let (samples, increase, complete): (u64, f64, bool) = bed.one(&format!(
        "select samples, increase, complete from counter_hourly_fresh_view \
         where tenant_id = 'two' and metric_name = 'jobs' and hour = {open}"
    ));
    assert_eq!((samples, increase, complete), (4, 15.0, false));
}

#[test]
fn of_two_units_of_one_metric_the_latency_is_not_a_mixture() {
    insert_services("units", "health", hour());
    // New instances send seconds where the old ones send milliseconds, 900 of the first bucket's 98.
    bed().execute(&format!(
        "insert into metrics_hourly (tenant_id, metric_name, hour, service_id, environment, metric_type, unit, kafka_topic, count, min, max, positive, inserted_at) \
         select 'units', 'http.server.request.duration', {}, 'api', 'production', 'histogram', 's', 'health', 900, \
         1., 1., map(toInt32(-1), toUInt64(900)), now64(3)",
        sql_of(hour())
    ));
    let (p50, p99): (f64, f64) = bed().one(
        "select assumeNotNull(latency_p50_s), assumeNotNull(latency_p99_s) from service_health_summary \
         where tenant_id = 'units' and service_id = 'api'",
    );
    assert!((p50 - 1.0).abs() < 0.01 && (p99 - 1.0).abs() < 0.01, "{p50}, {p99}");
}

#[test]
fn errors_among_series_that_were_added_up_are_unknown() {
    let (tenant, hour) = ("folded", hour());
    insert_services(tenant, "health", hour);
    bed().execute(&format!(
        "insert into counter_hourly (tenant_id, metric_name, hour, service_id, environment, series_id, kafka_topic, revision, labels, series, increase, inserted_at) \
         select '{tenant}', 'http_requests_total', {}, 'api', 'production', 0, 'health', 4000000000000, \
         map('otel.metric.overflow', 'true'), 7, 5000., now64(3)",
        sql_of(hour)
    ));
    let (requests, is_unknown): (f64, u8) = bed().one(
        "select assumeNotNull(requests), toUInt8(isNull(errors) + isNull(error_rate) + isNull(burn_rate)) from service_health_summary \
         where tenant_id = 'folded' and service_id = 'api'",
    );
    assert_eq!((requests, is_unknown), (15_000.0, 3));
}
