//! Service health: latency, errors and burn rate of the last complete hour.

use std::sync::OnceLock;

use crate::bed::{Bed, now_ms};

const HOUR_MS: i64 = 3_600_000;

/// A bed of their own: no stage of another test completes a later hour than these say.
fn bed() -> &'static Bed {
    static BED: OnceLock<Bed> = OnceLock::new();
    BED.get_or_init(Bed::start)
}

/// The last complete hour: one and the same for all, whenever they run.
fn hour() -> String {
    static HOUR: OnceLock<i64> = OnceLock::new();
    let hour = HOUR.get_or_init(|| now_ms() / HOUR_MS - 1);
    format!("toDateTime({}, 'UTC')", hour * HOUR_MS / 1_000)
}

/// Hours and counters as the stage and the upkeep would have written them.
fn insert_services(tenant: &str) {
    let (bed, hour) = (bed(), hour());
    bed.execute(&format!(
        "insert into metrics_hourly (tenant_id, metric_name, hour, service_id, environment, metric_type, unit, count, min, max, positive, inserted_at) \
         select '{tenant}', 'http.server.request.duration', {hour}, arrayJoin(['api', 'silent']), 'production', 'histogram', 'ms', 100, \
         1., 1024., map(toInt32(-1), toUInt64(98), toInt32(639), toUInt64(2)), now64(3)"
    ));
    let revision = 4_000_000_000_000_u64;
    bed.execute(&format!(
        "insert into counter_hourly (tenant_id, metric_name, hour, service_id, environment, series_id, revision, labels, series, increase, inserted_at) \
         select '{tenant}', 'http_requests_total', {hour}, 'api', 'production', number + 1, {revision}, \
         map('status', ['200', '503', '500'][number + 1]), 1, [9970., 20., 10.][number + 1], now64(3) from numbers(3)"
    ));
    bed.execute(&format!(
        "insert into counter_revisions (tenant_id, hour, decided_at, revision, inserted_at) select '{tenant}', {hour}, now64(3), {revision}, now64(3)"
    ));
    bed.execute(&format!(
        "insert into upkeep_progress select 'counters', 'health', {hour} + interval 1 hour, now64(3), now64(3)"
    ));
}

#[test]
fn a_service_is_measured_against_its_objective() {
    insert_services("health");
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
    insert_services("unknown");
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
