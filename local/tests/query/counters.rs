//! Increase and rate of counters: of the newest revision, merged by columns, days and months, as of a moment; expected
//! numbers computed by hand.

use serde_json::{Value, json};

use crate::bed::{Bed, http};
use crate::client::{get_at, pages, ready, rows, send_as, service};
use crate::rows::{decide_counter_hour, decide_counter_hour_of, insert_counter_hour};

const HOURS: &str = "/v1/metrics/counters/hourly";
const DAYS: &str = "/v1/metrics/counters/daily";
const MONTHS: &str = "/v1/metrics/counters/monthly";

fn numbers(rows: &[Value], name: &str) -> Vec<f64> {
    rows.iter().map(|row| row[name].as_f64().unwrap()).collect()
}

#[test]
fn an_hour_has_its_increase_its_rate_and_its_resets() {
    insert_counter_hour("rise", 0, "api", "red", 1, 60, 7_200.0);
    insert_counter_hour("rise", 0, "web", "red", 1, 30, 1_800.0);
    decide_counter_hour("rise", 0, 1, 1);
    let by_service = rows(HOURS, &[("tenant_id", "rise"), ("group_by", "service_id")]);
    assert_eq!(
        by_service[0],
        json!({
            "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T01:00:00Z", "complete": false, "metric_name": "requests",
            "service_id": "api", "metric_type": "counter", "unit": "requests", "count": 60, "resets": 1, "increase": 7200.0, "rate": 2.0,
        })
    );
    let merged = rows(HOURS, &[("tenant_id", "rise"), ("group_by", "")]);
    assert_eq!(
        (merged.len(), &merged[0]["count"], &merged[0]["resets"]),
        (1, &json!(90), &json!(2))
    );
    assert_eq!(
        (&merged[0]["increase"], &merged[0]["rate"]),
        (&json!(9000.0), &json!(2.5))
    );
    let of_web = rows(HOURS, &[("tenant_id", "rise"), ("service_id", "web")]);
    assert_eq!(numbers(&of_web, "rate"), [0.5]);
}

#[test]
fn only_the_revision_that_counts_is_told() {
    insert_counter_hour("revised-rise", 0, "api", "", 1, 10, 100.0);
    insert_counter_hour("revised-rise", 0, "api", "", 2, 12, 160.0);
    assert!(
        rows(HOURS, &[("tenant_id", "revised-rise")]).is_empty(),
        "nothing is decided yet"
    );
    decide_counter_hour("revised-rise", 0, 1, 1);
    decide_counter_hour("revised-rise", 0, 2, 5);
    let increase = |as_of: &[(&str, &str)]| {
        let asked: Vec<_> = [("tenant_id", "revised-rise")].iter().chain(as_of).copied().collect();
        numbers(&rows(HOURS, &asked), "increase")
    };
    assert_eq!(increase(&[]), [160.0]);
    assert_eq!(increase(&[("as_of", "2026-02-04")]), [100.0]);
    assert_eq!(increase(&[("as_of", "2026-02-05")]), [160.0]);
    assert!(increase(&[("as_of", "2026-01-31")]).is_empty());
}

#[test]
fn days_and_months_add_up_and_are_rated_over_what_is_computed() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "rising")]);
    for hour in 0..36 {
        insert_counter_hour("rise-days", hour, "api", "", 1, 1, 3_600.0);
        decide_counter_hour("rise-days", hour, 1, 1);
    }
    let progress = |through: &str, watermark: &str| {
        bed.execute(&format!(
            "insert into upkeep_progress select 'counters', 'rising', toDateTime('{through}', 'UTC'), now64(3), now64(3)"
        ));
        bed.execute(&format!(
            "insert into partition_progress select 'rising', 0, 1, 1, 10, toDateTime64('{watermark}', 3, 'UTC'), 0, now64(3)"
        ));
    };
    progress("2026-01-02 12:00:00", "2026-01-02 13:30:00");
    let ask = |path: &str, more: &[(&str, &str)]| {
        let asked: Vec<_> = [("tenant_id", "rise-days")].iter().chain(more).copied().collect();
        get_at(bed, &service, path, &asked).json()
    };
    let days = ask(DAYS, &[]);
    assert_eq!(
        days["complete_through"], "2026-01-02T12:00:00Z",
        "what is computed, not what is aggregated"
    );
    let days = days["rows"].as_array().unwrap();
    assert_eq!(numbers(days, "increase"), [86_400.0, 43_200.0]);
    assert_eq!(
        numbers(days, "rate"),
        [1.0, 1.0],
        "the second day is rated over its half"
    );
    assert_eq!(
        (&days[0]["complete"], &days[1]["complete"]),
        (&json!(true), &json!(false))
    );
    let new_york = ask(DAYS, &[("zone", "America/New_York")]);
    assert_eq!(
        numbers(new_york["rows"].as_array().unwrap(), "increase"),
        [18_000.0, 86_400.0, 25_200.0]
    );
    let months = ask(MONTHS, &[]);
    assert_eq!(numbers(months["rows"].as_array().unwrap(), "increase"), [129_600.0]);
    progress("2026-01-03 00:00:00", "2026-01-03 00:00:00");
    let later = ask(DAYS, &[]);
    assert_eq!(
        numbers(later["rows"].as_array().unwrap(), "rate"),
        [1.0, 0.5],
        "nothing rose in the other half"
    );
    let then = ask(DAYS, &[("as_of", "2026-02-02")]);
    assert_eq!(
        then["complete_through"],
        Value::Null,
        "the ledger knows no batch of then"
    );
}

#[test]
fn an_hour_that_could_not_be_computed_is_complete_for_nobody_but_other_tenants() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "failing")]);
    for tenant in ["failing-rise", "other-rise"] {
        for hour in 0..3 {
            insert_counter_hour(tenant, hour, "api", "", 1, 1, 1.0);
            let revision = u64::from(hour != 1 || tenant == "other-rise");
            decide_counter_hour_of("failing", tenant, hour, revision, 1);
        }
    }
    bed.execute("insert into upkeep_progress select 'counters', 'failing', toDateTime('2026-01-01 03:00:00', 'UTC'), now64(3), now64(3)");
    bed.execute(
        "insert into partition_progress select 'failing', 0, 1, 1, 10, toDateTime64('2026-01-02 00:00:00', 3, 'UTC'), 0, now64(3)",
    );
    let through =
        |tenant: &str| get_at(bed, &service, HOURS, &[("tenant_id", tenant)]).json()["complete_through"].clone();
    assert_eq!(through("other-rise"), "2026-01-01T03:00:00Z");
    assert_eq!(through("failing-rise"), "2026-01-01T01:00:00Z");
}

#[test]
fn as_of_a_moment_counters_end_at_the_first_hour_that_was_not_computed_by_then() {
    let bed = Bed::shared();
    let service = ready(bed, &[("HOROLOG_QUERY__SOURCE__METRICS_TOPIC", "holed")]);
    for (hour, day, topic) in [(0, 1, "holed"), (1, 9, "holed"), (2, 1, "holed"), (20, 1, "another")] {
        insert_counter_hour("holed-rise", hour, "api", "", 1, 1, 1.0);
        decide_counter_hour_of(topic, "holed-rise", hour, 1, day);
    }
    bed.execute("insert into upkeep_progress select 'counters', 'holed', toDateTime('2026-01-01 03:00:00', 'UTC'), now64(3), now64(3)");
    bed.execute(
        "insert into partition_progress select 'holed', 0, 1, 1, 10, toDateTime64('2026-01-02 00:00:00', 3, 'UTC'), 0, now64(3)",
    );
    bed.execute(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, records, \
         watermark, closed_at, inserted_at) values ('aggregate', 'holed', 0, 1, 0, 10, 'batch', 10, '2026-01-02 00:00:00', \
         '2026-01-02 00:00:00', now64(3))",
    );
    let through = |as_of: &str| {
        let asked = [("tenant_id", "holed-rise"), ("as_of", as_of)];
        get_at(bed, &service, HOURS, &asked).json()["complete_through"].clone()
    };
    assert_eq!(
        through("2026-02-05"),
        "2026-01-01T01:00:00Z",
        "the hour after it was not computed"
    );
    assert_eq!(through("2026-02-09"), "2026-01-01T03:00:00Z");
    assert_eq!(through("2026-01-31"), Value::Null);
}

#[test]
fn pages_and_teams_are_those_of_the_selection() {
    for hour in 0..5 {
        for (service, team) in [("api", "red"), ("web", "blue")] {
            insert_counter_hour("rise-paged", hour, service, team, 1, 1, 1.0);
        }
        decide_counter_hour("rise-paged", hour, 1, 1);
    }
    for limit in ["1", "3", "100"] {
        let found = pages(HOURS, &[("tenant_id", "rise-paged"), ("limit", limit)], || ());
        assert_eq!(found.len(), 10, "limit {limit}");
    }
    let of_red = rows(HOURS, &[("tenant_id", "rise-paged"), ("team_id", "red")]);
    assert_eq!(of_red.len(), 5);
    let csv = format!(
        "{}{HOURS}?tenant_id=rise-paged&format=csv&group_by=&limit=1",
        service().http()
    );
    let csv = send_as(Bed::shared(), &Bed::shared().key("analyst"), http().get(csv));
    assert_eq!(
        csv.text,
        "start,end,complete,metric_name,metric_type,unit,count,resets,increase,rate\n\
         2026-01-01T00:00:00Z,2026-01-01T01:00:00Z,false,requests,counter,requests,2,2,2.0,0.0005555555555555556\n"
    );
}
