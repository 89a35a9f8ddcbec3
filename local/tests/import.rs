//! `horolog import` as a user meets it: the real command, files on disk, the real broker; what arrived is read back.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod bed;
mod received;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use bed::{Bed, BedOptions, wait_until};
use horolog_schemas::{AuditStatus, Kind, Reason};

const DEADLINE: Duration = Duration::from_secs(180);

/// No tables are needed: what counts is what is in the log.
fn bed() -> &'static Bed {
    static SHARED: OnceLock<Bed> = OnceLock::new();
    SHARED.get_or_init(|| {
        Bed::start_with(&BedOptions {
            migrate: false,
            ..BedOptions::default()
        })
    })
}

/// A test's own folder and topics.
struct Place {
    folder: tempfile::TempDir,
    metrics: String,
    audits: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: format!("metrics-{name}"),
            audits: format!("audit-{name}"),
        };
        bed().topic(&place.metrics, 3);
        bed().topic(&place.audits, 3);
        place
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str], files: &[&Path]) -> Command {
        let mut command = Command::new(bed::HOROLOG);
        command.args(["import", "--kafka", &bed().kafka()]);
        command.args(["--topic-metrics", &self.metrics, "--topic-audit", &self.audits]);
        command.args(arguments).args(files);
        command
    }

    fn import(&self, arguments: &[&str], files: &[&Path]) -> Imported {
        self.command(arguments, files).output().unwrap().into()
    }

    fn samples(&self) -> Vec<horolog_schemas::MetricSample> {
        received::samples(&bed().kafka(), &self.metrics)
    }

    fn events(&self) -> Vec<horolog_schemas::AuditEvent> {
        received::events(&bed().kafka(), &self.audits)
    }
}

#[derive(Debug)]
struct Imported {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Imported {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }
}

fn gzip(content: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

const PODS: &str = "\
Time,TimeStamp,PodName,CpuUsage(m),Syscalls
2022-08-22 03:51:19.607158889 +0000 UTC m=+0.113,1861140279,cart-1,1.5,NaN
2022-08-22 03:52:19.5893 +0000 UTC m=+60.1,1861140339,cart-1,,7
";
const EVENTS: &str = concat!(
    r#"{"eventID":"3c856bc0-1a07-4c18-89d9-4d9205856714","eventTime":"2023-07-10T11:42:44Z","eventSource":"s3.amazonaws.com","eventName":"GetObject"}"#,
    "\n",
    r#"{"eventTime":"2023-07-10T11:43:44Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","errorCode":"AccessDenied"}"#,
    "\n",
);

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
        imported
            .out
            .contains("cart.csv.gz: sent 3 metric samples, skipped 1 (empty cell 1)"),
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
        "load.csv:3: `noon` is no time",
        "load.csv:4: `x` in column `value` is no number",
        "load.csv:5: the line is not UTF-8",
        "trail.ndjson:3: ",
        "trail.ndjson:4: ",
    ] {
        assert!(imported.err.contains(complaint), "{complaint}: {imported:?}");
    }
    assert!(
        imported.out.contains("skipped 3 (no number 1, no time 1, not UTF-8 1)"),
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
    assert_eq!(imported.err.matches("is no time").count(), 20, "{imported:?}");
    assert!(imported.out.contains("skipped 500 (no time 500)"), "{imported:?}");
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
            .contains("load.csv: sent 2 metric samples (1 before 2000, to be rejected)"),
        "{imported:?}"
    );
    assert!(
        imported.err.contains("warning: 1 records are of a time before 2000"),
        "{imported:?}"
    );
    let metrics = received::receive(&bed().kafka(), &place.metrics);
    assert_eq!(
        received::rejections(Kind::MetricSample, &metrics),
        [Reason::TimeTooEarly]
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
    let second = place.file("web/b.csv", "time,value\n2014-02-14 14:40:00,3\n");
    let before = bed::now_ms() * 1000;
    assert_eq!(place.import(&["--shift-to-now"], &[&first, &second]).code, Some(0));
    let after = bed::now_ms() * 1000 + 1000;
    let mut times: Vec<i64> = place.samples().iter().map(|sample| sample.time).collect();
    times.sort_unstable();
    assert!((before..after).contains(&times[2]), "{before} {times:?} {after}");
    assert_eq!((times[1] - times[0], times[2] - times[1]), (300_000_000, 300_000_000));
}

#[test]
fn a_second_import_of_the_same_events_has_the_same_ids() {
    let place = Place::new("again");
    let lines = place.file("a/trail.ndjson", EVENTS);
    let document = place.file(
        "b/delivered.json",
        format!("{{\n\"Records\": [\n{}]}}", EVENTS.trim().replace("}\n", "},\n")),
    );
    assert_eq!(place.import(&[], &[&lines]).code, Some(0));
    assert_eq!(place.import(&[], &[&document]).code, Some(0));
    let mut ids: Vec<String> = place.events().into_iter().map(|event| event.event_id).collect();
    ids.sort();
    assert_eq!(ids.len(), 4);
    assert_eq!(
        (ids[0] == ids[1], ids[2] == ids[3], ids[1] == ids[2]),
        (true, true, false),
        "{ids:?}"
    );
}

#[test]
fn records_that_kafka_does_not_take_are_counted_and_fail_the_import() {
    // A broker of its own: it is killed.
    let bed = Bed::start_with(&BedOptions {
        migrate: false,
        ..BedOptions::default()
    });
    for kind in Kind::ALL {
        bed.topic(kind.default_topic(), 1);
    }
    let mut child = Command::new(bed::HOROLOG)
        .args([
            "import",
            "--kafka",
            &bed.kafka(),
            "--kafka-property",
            "message.timeout.ms=10000", // longer than a busy broker takes to know the producer
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than is looked at before the first record is sent.
    let lines = |count: usize| "1661140279,1\n".repeat(count);
    input
        .write_all(format!("time,value\n{}", lines(200_000)).as_bytes())
        .unwrap();
    let topic = Kind::MetricSample.default_topic();
    wait_until(DEADLINE, "records arrive", || {
        received::ends(&bed.kafka(), topic)[&0] > 0
    });
    bed.kill_broker();
    input.write_all(lines(1_000).as_bytes()).unwrap();
    drop(input);
    let imported: Imported = child.wait_with_output().unwrap().into();
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.err.contains("kafka did not take"), "{imported:?}");
}
