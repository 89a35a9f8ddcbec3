//! What is reported about unreadable files, records that are not accepted, and servers or topics that are missing.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use horolog_schemas::{Kind, RECORD_BYTES_MAX, Reason};

use crate::bed::{self, Bed, BedOptions, wait_until};
use crate::place::{EVENTS, Imported, Place, bed, gzip};
use crate::received;

const DEADLINE: Duration = Duration::from_secs(180);

#[test]
fn a_malformed_line_is_reported_with_its_place_and_stops_nothing() {
    let place = Place::new("malformed");
    let csv = place.file(
        "web/load.csv",
        b"time,value\n1661140279,1\nnoon,2\n1661140281,x\n\xff\xfe,4\n1661140283,5\n",
    );
    let trail = place.file("trail.ndjson", format!("{EVENTS}{{\"eventTime\":\n[1]\n"));
    let imported = place.import(&[], &[&csv, &trail]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    for complaint in [
        "load.csv:3: `noon` in `time` is not a time; use 2024-05-01, 2024-05-01 10:00, RFC 3339 or a number since 1970",
        "load.csv:4: `x` in column `value` is not a number",
        "load.csv:5: the line is not UTF-8",
        "trail.ndjson:3: ",
        "trail.ndjson:4: ",
    ] {
        assert!(imported.err.contains(complaint), "{complaint}: {imported:?}");
    }
    assert!(
        imported
            .out
            .contains("skipped 3 (invalid number 1, invalid time 1, not UTF-8 1)"),
        "{imported:?}"
    );
    assert!(imported.out.contains("skipped 2 (malformed JSON 2)"), "{imported:?}");
    assert_eq!((place.samples().len(), place.events().len()), (2, 2));
}

#[test]
fn beyond_the_first_malformed_lines_they_are_only_counted() {
    let place = Place::new("flood");
    let csv = place.file(
        "web/load.csv",
        format!("time,value\n1661140279,1\n{}", "bad,1\n".repeat(500)),
    );
    let imported = place.import(&[], &[&csv]);
    assert_eq!(imported.code, Some(0));
    assert_eq!(imported.err.matches("is not a time").count(), 20, "{imported:?}");
    assert!(imported.out.contains("skipped 500 (invalid time 500)"), "{imported:?}");
}

#[test]
fn the_exit_code_says_when_a_file_was_not_read_or_nothing_was_sent() {
    let place = Place::new("codes");
    let good = place.file("web/load.csv", "time,value\n1661140279,1\n");
    let topology = place.file("web/topology.csv", "Source,Target\na,b\n");
    let bad = place.file("web/bad.csv", "time,value\nnoon,1\n");
    let mut cut = gzip("time,value\n1661140279,1\n");
    cut.truncate(cut.len() - 6);
    let cut = place.file("web/cut.csv.gz", cut);
    let missing = place.folder.path().join("missing.csv");

    let imported = place.import(&[], &[&topology, &missing, &cut, &good]);
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(
        imported.err.contains("3 of 4 files could not be read to their end"),
        "{imported:?}"
    );
    assert!(
        imported
            .out
            .contains("there is no time column; name it with --time-column: the columns are Source, Target"),
        "{imported:?}"
    );
    assert!(!place.samples().is_empty(), "the good file was sent");

    let imported = place.import(&[], &[&bad]);
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(
        imported.out.contains("bad.csv: sent nothing, skipped 1"),
        "{imported:?}"
    );
    assert!(imported.err.contains("nothing was sent"), "{imported:?}");
}

#[test]
fn what_will_be_rejected_for_its_time_is_told_by_who_sends_it() {
    let place = Place::new("early");
    let csv = place.file("web/load.csv", "time,value\n1990-01-01,1\n2024-05-01,2\n");
    let imported = place.import(&[], &[&csv]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert!(
        imported
            .out
            .contains("load.csv: sent 2 metric samples (to be rejected: time_too_early 1)"),
        "{imported:?}"
    );
    assert!(
        imported
            .err
            .contains("warning: 1 records will be rejected (time_too_early 1)"),
        "{imported:?}"
    );
    let metrics = received::receive(&bed().kafka(), &place.metrics);
    assert_eq!(
        received::rejections(Kind::MetricSample, &metrics),
        [Reason::TimeTooEarly]
    );
}

#[test]
fn what_will_be_rejected_for_anything_else_is_told_too_and_ids_and_tenants_are_mended() {
    let place = Place::new("doomed");
    let lines = [
        r#"{"metric_name":"","time":1661140279,"value":1}"#,
        r#"{"metric_name":"m","time":1661140279,"value":"NaN"}"#,
        r#"{"metric_name":"m","time":"2099-01-01","value":1}"#,
        r#"{"action":"","occurred_at":1661140279}"#,
        r#"{"action":"a","occurred_at":1661140279,"event_id":"evt_01H","tenant_id":""}"#,
    ];
    let own = place.file("own.ndjson", lines.join("\n"));
    let long = "x".repeat(RECORD_BYTES_MAX);
    let event = format!(r#"{{"eventTime":"2023-07-10","eventName":"a","requestParameters":"{long}"}}"#);
    let trail = place.file("trail.json", format!(r#"{{"Records":[{event}]}}"#));
    let imported = place.import(&["--tenant", "acme"], &[&own, &trail]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    for told in [
        "own.ndjson: sent 3 metric samples and 2 audit events \
         (to be rejected: empty_action 1, empty_metric_name 1, time_in_future 1, value_not_finite 1)",
        "trail.json: sent 1 audit events (to be rejected: record_too_large 1)",
    ] {
        assert!(imported.out.contains(told), "{told}: {imported:?}");
    }
    assert!(
        imported.err.contains("warning: 5 records will be rejected ("),
        "{imported:?}"
    );
    let rejections = |kind, topic: &str| {
        let mut found = received::rejections(kind, &received::receive(&bed().kafka(), topic));
        found.sort();
        found
    };
    assert_eq!(
        rejections(Kind::MetricSample, &place.metrics),
        [Reason::TimeInFuture, Reason::EmptyMetricName, Reason::ValueNotFinite]
    );
    assert_eq!(
        rejections(Kind::AuditEvent, &place.audits),
        [Reason::RecordTooLarge, Reason::EmptyAction]
    );
}

#[test]
fn events_that_share_an_id_with_others_are_told_across_files() {
    let place = Place::new("shared");
    let event = |stage: &str| {
        let id = "3c856bc0-1a07-4c18-89d9-4d9205856714";
        format!(r#"{{"action":"get","occurred_at":1661140279,"event_id":"{id}","metadata":{{"stage":"{stage}"}}}}"#)
    };
    let first = place.file("a.ndjson", format!("{0}\n{0}\n", event("RequestReceived")));
    let second = place.file("b.ndjson", event("ResponseComplete"));
    let imported = place.import(&[], &[&first, &second]);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    for told in [
        "a.ndjson: sent 2 audit events (1 repeat an earlier one and count once)",
        "b.ndjson: sent 1 audit events (1 have the id of an earlier one that says something else)",
    ] {
        assert!(imported.out.contains(told), "{told}: {imported:?}");
    }
    assert!(
        imported
            .err
            .contains("warning: 1 audit events have the id of an earlier one")
            && imported.err.contains("`request_id`"),
        "{imported:?}"
    );
}

#[test]
fn a_missing_topic_is_named_with_the_flag_that_changes_it_and_not_created() {
    let place = Place::new("topics");
    let csv = place.file("web/load.csv", "time,value\n1661140279,1\n");
    let mut command = Command::new(bed::HOROLOG);
    command
        .args(["import", "--kafka", &bed().kafka(), "--topic-metrics", "nowhere"])
        .arg(&csv);
    for _ in 0..2 {
        let imported: Imported = command.output().unwrap().into();
        assert_eq!(imported.code, Some(1));
        assert!(
            imported.err.contains("has no topic `nowhere`") && imported.err.contains("--topic-metrics"),
            "{imported:?}"
        );
    }
}

#[test]
fn without_kafka_the_error_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(bed::HOROLOG);
    let imported: Imported = command
        .args(["import", "--data"])
        .arg(folder.path())
        .arg("x.csv")
        .output()
        .unwrap()
        .into();
    assert_eq!(imported.code, Some(1));
    assert!(
        imported.err.contains("`horolog up`") && imported.err.contains("--kafka HOST:PORT"),
        "{imported:?}"
    );
}

/// More lines than are read before the first record is sent, and than the producer holds.
const LINES: usize = 200_000;

fn lines(count: usize) -> String {
    "1661140279,1\n".repeat(count)
}

fn records_in(bed: &Bed) -> i64 {
    received::ends(&bed.kafka(), Kind::MetricSample.default_topic())[&0]
}

/// Begins an import from the standard input to a broker of its own, which is killed when records arrive.
fn import_to_a_killed_broker(options: &[&str]) -> (Bed, Child, ChildStdin) {
    let bed = Bed::start_with(&BedOptions {
        migrate: false,
        ..BedOptions::default()
    });
    for kind in Kind::ALL {
        bed.topic(kind.default_topic(), 1);
    }
    let mut child = Command::new(bed::HOROLOG)
        .args(["import", "--kafka", &bed.kafka(), "-"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(format!("time,value\n{}", lines(LINES)).as_bytes())
        .unwrap();
    wait_until(DEADLINE, "records arrive", || records_in(&bed) > 0);
    bed.kill_broker();
    (bed, child, input)
}

#[test]
fn an_import_waits_for_a_broker_that_is_away_and_sends_every_record_once() {
    let (bed, mut child, mut input) = import_to_a_killed_broker(&[]);
    let writing = std::thread::spawn(move || input.write_all(lines(LINES).as_bytes()).unwrap());
    let mut told = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("waiting for kafka: ") {
        line.clear();
        assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended without waiting");
    }
    // Nobody reads what it says from here on, which is little.
    bed.start_broker();
    writing.join().unwrap();
    let imported: Imported = child.wait_with_output().unwrap().into();
    assert_eq!(imported.code, Some(0), "{imported:?}");
    assert_eq!(records_in(&bed), 2 * LINES as i64);
}

#[test]
fn records_that_kafka_does_not_take_are_counted_and_fail_the_import() {
    let (_bed, child, mut input) = import_to_a_killed_broker(&["--kafka-property", "message.timeout.ms=10000"]); // longer than a busy broker takes to register the producer
    input.write_all(lines(1_000).as_bytes()).unwrap();
    drop(input);
    let imported: Imported = child.wait_with_output().unwrap().into();
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.err.contains("kafka did not accept"), "{imported:?}");
}
