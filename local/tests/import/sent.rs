//! What arrives in Kafka from files of all formats.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use horolog_schemas::{AuditStatus, Kind, Reason};

use crate::place::{EVENTS, Imported, Place, bed, gzip};
use crate::{bed, received};

const PODS: &str = "\
Time,TimeStamp,PodName,CpuUsage(m),Syscalls
2022-08-22 03:51:19.607158889 +0000 UTC m=+0.113,1861140279,cart-1,1.5,NaN
2022-08-22 03:52:19.5893 +0000 UTC m=+60.1,1861140339,cart-1,,7
";

#[test]
fn several_formats_packed_and_plain_go_in_one_import() {
    let place = Place::new("several");
    let csv = place.file(
        "web/load.csv",
        "timestamp,value\n2014-02-14 14:30:00,0.5\n2014-02-14T15:30:00+01:00,2\n",
    );
    let wide = place.file("pods/cart.csv.gz", gzip(PODS));
    let trail = place.file(
        "trail.json.gz",
        gzip(&format!("{{\"Records\":[{}]}}", EVENTS.trim().replace('\n', ","))),
    );
    let own = place.file(
        "own.ndjson",
        "{\"metric_name\":\"m\",\"time\":1661140279,\"value\":4,\"tenant_id\":\"own\"}\n",
    );
    let imported = place.import(&["--tenant", "acme"], &[&csv, &wide, &trail, &own]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(
        imported
            .err
            .contains("load.csv: metrics-csv, metric `load`, service `web`"),
        "{imported:?}"
    );
    assert!(
        imported.out.contains(
            "cart.csv.gz: sent 3 metric samples (to be rejected: value_not_finite 1), skipped 1 (empty cell 1)"
        ),
        "{imported:?}"
    );
    assert!(
        imported.out.contains("sent 6 metric samples and 2 audit events"),
        "{imported:?}"
    );

    let mut found: Vec<String> = place
        .samples()
        .iter()
        .map(|s| {
            format!(
                "{} {} {} {} {} {} {:?}",
                s.tenant_id,
                s.service_id,
                s.metric_name,
                s.unit,
                s.time,
                s.value,
                s.labels.get("source_file")
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "acme cart-1 CpuUsage(m) m 1661140279607000 1.5 Some(\"pods/cart.csv.gz\")",
            "acme cart-1 Syscalls  1661140279607000 NaN Some(\"pods/cart.csv.gz\")",
            "acme cart-1 Syscalls  1661140339589000 7 Some(\"pods/cart.csv.gz\")",
            "acme web load  1392388200000000 0.5 Some(\"web/load.csv\")",
            "acme web load  1392388200000000 2 Some(\"web/load.csv\")",
            "own  m  1661140279000000 4 None",
        ]
    );
    let events = place.events();
    assert_eq!(events.len(), 2);
    assert!(
        events
            .iter()
            .any(|event| event.action == "s3:PutObject" && event.status == AuditStatus::Failure)
    );
}

#[test]
fn records_are_keyed_as_the_design_says_and_nan_is_left_to_the_pipeline() {
    let place = Place::new("keys");
    let wide = place.file("pods/cart.csv", PODS);
    let trail = place.file("trail.ndjson", EVENTS);
    assert_eq!(place.import(&[], &[&wide, &trail]).code, Some(0));
    let metrics = received::receive(&bed().kafka(), &place.metrics);
    assert!(metrics.iter().all(|record| record.key == "demo/cart-1"), "{metrics:?}");
    assert_eq!(
        received::rejections(Kind::MetricSample, &metrics),
        [Reason::ValueNotFinite]
    );
    let audits = received::receive(&bed().kafka(), &place.audits);
    assert!(audits.iter().all(|record| record.key == "demo/s3/"), "{audits:?}");
    assert_eq!(received::rejections(Kind::AuditEvent, &audits), []);
}

#[test]
fn a_wide_file_keeps_tenants_and_environments_apart() {
    let place = Place::new("wide-fields");
    let file = place.file(
        "fleet/usage.csv",
        "time,tenant,service,environment,cpu,mem\n1661140279,1001,api,production,1,2\n1661140279,,api,staging,3,4\n",
    );
    let imported = place.import(&["--tenant", "acme"], &[&file]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let understood = "metric columns: 2, service from a column; fields: tenant, environment";
    assert!(imported.err.contains(understood), "{imported:?}");
    let mut found: Vec<String> = (place.samples().iter())
        .map(|s| {
            let whose = [&s.tenant_id, &s.service_id, &s.environment, &s.metric_name].map(String::as_str);
            format!("{} {}", whose.join(" "), s.value)
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "1001 api production cpu 1",
            "1001 api production mem 2",
            "acme api staging cpu 3",
            "acme api staging mem 4"
        ]
    );
}

#[test]
fn the_standard_input_is_a_file_too() {
    let place = Place::new("stdin");
    let mut child = place
        .command(&["--metric", "load", "--service", "web"], &[Path::new("-")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&gzip("time,value\n1661140279,1\n"))
        .unwrap();
    let imported: Imported = child.wait_with_output().unwrap().into();
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let samples = place.samples();
    assert_eq!(
        (samples[0].metric_name.as_str(), samples[0].service_id.as_str()),
        ("load", "web")
    );
}

#[test]
fn shifted_metrics_end_now_and_keep_their_differences_across_files() {
    let place = Place::new("shift");
    let first = place.file(
        "web/a.csv",
        "time,value\n2014-02-14 14:30:00,1\n2014-02-14 14:35:00,2\n",
    );
    let folder = place.file("others/b.csv", "time,value\n2014-02-14 14:40:00,3\n");
    let folder = folder.parent().unwrap();
    let before = bed::now_ms() * 1000;
    assert_eq!(place.import(&["--shift-to-now"], &[&first, folder]).code, Some(0));
    let after = bed::now_ms() * 1000 + 1000;
    let mut times: Vec<i64> = place.samples().iter().map(|sample| sample.time).collect();
    times.sort_unstable();
    assert!((before..after).contains(&times[2]), "{before} {times:?} {after}");
    assert_eq!((times[1] - times[0], times[2] - times[1]), (300_000_000, 300_000_000));
}

#[test]
fn times_without_an_offset_are_those_of_the_zone_that_is_named() {
    let place = Place::new("zones");
    let csv = place.file("web/a.csv", "time,value\n2024-07-15 10:00,1\n2024-07-15T10:00Z,2\n");
    let imported = place.import(&["--time-zone", "Europe/Berlin"], &[&csv]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let mut times: Vec<i64> = place.samples().iter().map(|sample| sample.time).collect();
    times.sort_unstable();
    assert_eq!(times, [1_721_030_400_000_000, 1_721_037_600_000_000]);
    let imported = place.import(&["--time-zone", "berlin"], &[&csv]);
    assert_eq!(imported.code, Some(2), "{imported:?}");
    assert!(imported.err.contains("did you mean Europe/Berlin?"), "{imported:?}");
}

#[test]
fn a_spreadsheet_with_semicolons_decimal_commas_and_a_column_of_dates_is_read_as_it_is() {
    let place = Place::new("spreadsheet");
    let text = "Date;Time;CO(mg);T;;\n10/03/2004;18.00.00;2,6;13,6;;\n10/03/2004;19.00.00;?;13,25;;\n;;;;;\n";
    let csv = place.file("air/quality.csv", text);
    let format = ["--service", "station", "--time-format", "%d/%m/%Y %H.%M.%S"];
    let imported = place.import(&format, &[&csv]);
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.out.contains("say --decimal comma if it is"), "{imported:?}");
    let imported = place.import(&[&format[..], &["--decimal", "comma"]].concat(), &[&csv]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let skipped = "quality.csv: sent 3 metric samples, skipped 2 (empty cell 2)";
    assert!(imported.out.contains(skipped), "{imported:?}");
    let mut said: Vec<_> = (place.samples().iter())
        .map(|s| (s.time / 1_000_000, s.metric_name.clone(), s.unit.clone(), s.value))
        .collect();
    said.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let sample = |time, name: &str, unit: &str, value| (time, name.to_owned(), unit.to_owned(), value);
    let expected = [
        sample(1_078_941_600, "CO(mg)", "mg", 2.6),
        sample(1_078_941_600, "T", "", 13.6),
        sample(1_078_945_200, "T", "", 13.25),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_second_import_of_the_same_events_has_the_same_ids() {
    let place = Place::new("again");
    let lines = place.file("a/trail.ndjson", EVENTS);
    let document = place.file(
        "b/delivered.json",
        format!("{{\n\"Records\": [\n{}]}}", EVENTS.trim().replace("}\n", "},\n")),
    );
    let array = place.file("c/events.json", format!("[{}]", EVENTS.trim().replace("}\n", "},\n")));
    assert_eq!(place.import(&[], &[&lines]).code, Some(0));
    assert_eq!(place.import(&[], &[&document]).code, Some(0));
    assert_eq!(place.import(&[], &[&array]).code, Some(0));
    let mut ids: Vec<String> = place.events().into_iter().map(|event| event.event_id).collect();
    ids.sort();
    assert_eq!(ids.len(), 6);
    ids.dedup();
    assert_eq!(ids.len(), 2, "{ids:?}");
}
