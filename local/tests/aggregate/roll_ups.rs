//! Days and months in a caller's time zone, shares under a threshold, what was known at a time.

use crate::bed::Bed;

/// A week of hours around the change to summer time in Europe; the sum identifies the hour.
fn insert_week(tenant: &str) {
    Bed::shared().execute(&format!(
        "insert into metrics_hourly (tenant_id, metric_name, hour, service_id, metric_type, count, sum, min, max, positive, inserted_at) \
         select '{tenant}', 'm', toDateTime('2026-03-26 00:00:00', 'UTC') + 3600 * number, 's', 'histogram', 1, number, \
         2., 2., map(toInt32(63), toUInt64(1)), now64(3) from numbers(168)"
    ));
}

#[test]
fn days_follow_the_callers_time_zone_over_a_change_of_the_clocks() {
    insert_week("berlin");
    let days: Vec<(String, u64, u64, f64)> = Bed::shared().sql(
        "select toString(day), hours, count, sum from metrics_daily_in_zone(time_zone = 'Europe/Berlin') \
         where tenant_id = 'berlin' and day >= '2026-03-28' and day <= '2026-03-30' order by day",
    );
    // 28 March starts at 23:00 UTC of the 27th, which is hour 47; the 29th has 23 hours.
    let sum = |from: u64, to: u64| (from..to).sum::<u64>() as f64;
    let expected = [
        ("2026-03-28", 24, 24, sum(47, 71)),
        ("2026-03-29", 23, 23, sum(71, 94)),
        ("2026-03-30", 24, 24, sum(94, 118)),
    ];
    assert_eq!(
        days,
        expected.map(|(day, hours, count, sum)| (day.to_owned(), hours, count, sum))
    );
    let utc: Vec<(String, u64, f64)> = Bed::shared().sql(
        "select toString(day), count, p99 from metrics_daily_view where tenant_id = 'berlin' and day = '2026-03-29'",
    );
    assert_eq!(utc, [("2026-03-29".to_owned(), 24, 2.0)]);
}

#[test]
fn months_add_up_their_days() {
    insert_week("months");
    for (zone, march) in [("UTC", 144), ("Europe/Berlin", 142), ("America/New_York", 148)] {
        let months: Vec<(String, u64)> = Bed::shared().sql(&format!(
            "select toString(month), count from metrics_monthly_in_zone(time_zone = '{zone}') \
             where tenant_id = 'months' order by month"
        ));
        let expected = [("2026-03-01".to_owned(), march), ("2026-04-01".to_owned(), 168 - march)];
        assert_eq!(months, expected, "{zone}");
    }
    let utc: u64 = Bed::shared().one("select sum(hours) from metrics_monthly_view where tenant_id = 'months'");
    assert_eq!(utc, 168);
}

#[test]
fn a_zone_that_cuts_hours_is_refused_with_the_reason() {
    insert_week("kolkata");
    for view in ["metrics_daily_in_zone", "metrics_monthly_in_zone"] {
        let bed = Bed::shared();
        let sql = format!("select count from {view}(time_zone = 'Asia/Kolkata') where tenant_id = 'kolkata'");
        let refused = bed
            .block_on(bed.clickhouse().query(&sql).fetch_all::<u64>())
            .unwrap_err()
            .to_string();
        assert!(refused.contains("not a whole number of hours"), "{refused}");
    }
    // Lord Howe has a half-hour offset in winter, and a whole-hour offset in summer.
    let summer: u64 = Bed::shared().one(
        "select sum(count) from metrics_daily_in_zone(time_zone = 'Australia/Lord_Howe') \
         where tenant_id = 'kolkata' and day = '2026-03-28'",
    );
    assert_eq!(summer, 24);
}

#[test]
fn a_share_lies_between_its_bounds_and_is_exact_at_bucket_bounds() {
    // Ten values in each of the buckets (1, 2^(1/64)], (2^(1/64), 2^(2/64)], … and below zero likewise.
    Bed::shared().execute(
        "insert into metrics_hourly (tenant_id, metric_name, hour, metric_type, count, min, max, positive, negative, zero_count, inserted_at) \
         select 'share', 'm', toDateTime('2026-01-01 00:00:00', 'UTC'), 'histogram', 130, -exp2(64 / 64), exp2(64 / 64), \
         map(toInt32(0), toUInt64(10), toInt32(31), toUInt64(20), toInt32(63), toUInt64(30)), \
         map(toInt32(0), toUInt64(40), toInt32(63), toUInt64(20)), 10, now64(3)",
    );
    for (threshold, least, most) in [
        (-3.0, 0, 0),
        (-2.0, 0, 20),
        (-1.5, 20, 20),
        (-1.0, 60, 60),
        (0.0, 70, 70),
        (1.0, 70, 70),
        (1.2, 80, 80),
        (1.41, 80, 100),
        (1.9, 100, 100),
        (1.999, 100, 130),
        (2.0, 130, 130),
    ] {
        let (share, low, high): (f64, f64, f64) = Bed::shared().one(&format!(
            "select share, share_least, share_most from metrics_hourly_share(threshold = {threshold}) where tenant_id = 'share'"
        ));
        let bounds = [f64::from(least) / 130.0, f64::from(most) / 130.0];
        assert_eq!([low, high], bounds, "{threshold}");
        assert!(low <= share && share <= high, "{threshold}: {low} {share} {high}");
    }
}

#[test]
fn what_was_known_at_a_time_leaves_out_later_revisions() {
    for (revised_at, count) in [("1970-01-01 00:00:00", 5), ("2026-02-01 10:30:00", 2)] {
        Bed::shared().execute(&format!(
            "insert into metrics_hourly (tenant_id, metric_name, hour, revised_at, count, inserted_at) \
             select 'as-of', 'm', toDateTime('2026-02-01 08:00:00', 'UTC'), toDateTime('{revised_at}', 'UTC'), {count}, now64(3)"
        ));
    }
    for (as_of, count) in [
        ("2026-02-01 08:59:00", 0),
        ("2026-02-01 09:00:00", 5),
        ("2026-02-01 10:30:59", 5),
        ("2026-02-01 10:31:00", 7),
    ] {
        let found: u64 = Bed::shared().one(&format!(
            "select sum(count) from metrics_hourly_as_of(as_of = '{as_of}') where tenant_id = 'as-of'"
        ));
        assert_eq!(found, count, "{as_of}");
    }
}
