//! Third-party data through the real binaries: import, broker, ingest, aggregate, engine. What analysts and compliance
//! staff then read equals what was computed independently.
//!
//! The recordings lie outside of the sources, in `../shared/data`; where they are absent the tests about them say so,
//! and the generated set, whose answers are plain arithmetic, takes their place.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod bed;
mod received;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use answers::{Answers, arithmetic};
use bed::{Bed, Proc, wait_until};
use horolog_schemas::Kind;
use serde::Deserialize;

const DEADLINE: Duration = Duration::from_secs(300);
const PARTITIONS: i32 = 4;

/// Broker, engine and the two stages, shared by all tests; each has a tenant of its own.
struct Pipeline {
    bed: Bed,
    stages: [Proc; 2],
}

fn pipeline() -> &'static Pipeline {
    static SHARED: OnceLock<Pipeline> = OnceLock::new();
    SHARED.get_or_init(|| {
        let bed = Bed::start();
        for kind in Kind::ALL {
            bed.topic(kind.default_topic(), PARTITIONS);
        }
        let ingest = bed.spawn("horolog-ingest", &[]);
        let aggregate = bed.spawn("horolog-aggregate", &[("HOROLOG_AGGREGATE__BATCH__AGE_MAX_MS", "1000")]);
        Pipeline {
            bed,
            stages: [ingest, aggregate],
        }
    })
}

impl Pipeline {
    fn import(&self, tenant: &str, arguments: &[&str], files: &[PathBuf]) -> String {
        let mut command = Command::new(bed::HOROLOG);
        command.args(["import", "--kafka", &self.bed.kafka(), "--tenant", tenant]);
        let output = command.args(arguments).args(files).output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{command:?}\n{out}{err}");
        out.into_owned()
    }

    /// Waits until both stages have processed everything that is in the log now.
    fn catch_up(&self) {
        for (stage, kind) in [
            ("ingest", Kind::MetricSample),
            ("ingest", Kind::AuditEvent),
            ("aggregate", Kind::MetricSample),
        ] {
            let topic = kind.default_topic();
            let ends = received::ends(&self.bed.kafka(), topic);
            let passed = || -> BTreeMap<i32, i64> {
                let query = format!(
                    "select kafka_partition, max(end_offset) from batch_ledger \
                     where stage = '{stage}' and kafka_topic = '{topic}' and entry in ('batch', 'recovered') \
                     group by kafka_partition"
                );
                self.bed.sql::<(i32, i64)>(&query).into_iter().collect()
            };
            wait_until(
                DEADLINE,
                &format!("{stage} has passed {topic}: {}", self.logs()),
                || {
                    let passed = passed();
                    ends.iter()
                        .all(|(partition, end)| *end == 0 || passed.get(partition).is_some_and(|passed| passed >= end))
                },
            );
        }
    }

    fn logs(&self) -> String {
        self.stages
            .iter()
            .map(|stage| stage.log().display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The recordings, where they are.
fn recordings() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("../shared/data is absent: the generated set stands for it");
    None
}

#[test]
fn generated_metrics_give_the_hours_that_arithmetic_says() {
    let (pipeline, folder) = (pipeline(), tempfile::tempdir().unwrap());
    let (files, answers) = arithmetic::write(folder.path());
    for (file, unit) in files {
        let arguments: Vec<&str> = unit.iter().flat_map(|unit| ["--unit", unit]).collect();
        pipeline.import("arithmetic", &arguments, &[file]);
    }
    pipeline.catch_up();
    answers.assert_stored(&pipeline.bed, "arithmetic");
}

#[test]
fn generated_audit_events_give_the_counts_that_arithmetic_says() {
    let (pipeline, folder) = (pipeline(), tempfile::tempdir().unwrap());
    // 210 = 2 · 3 · 5 · 7 events: one in 5 is refused, one in 7 of the others fails.
    let mut text = String::new();
    for i in 0..210 {
        let code = if i % 5 == 0 {
            "AccessDenied"
        } else if i % 7 == 0 {
            "ThrottlingException"
        } else {
            ""
        };
        writeln!(
            text,
            r#"{{"eventTime":"2023-07-10T11:{:02}:00Z","eventSource":"s3.amazonaws.com","eventName":"N{}","errorCode":"{code}","n":{i}}}"#,
            i % 60,
            i % 3
        )
        .unwrap();
    }
    let file = folder.path().join("trail.ndjson");
    std::fs::write(&file, text).unwrap();
    // Twice, as after a lost answer: the events are recognised by the ids derived from them.
    for _ in 0..2 {
        pipeline.import("arithmetic-audit", &[], std::slice::from_ref(&file));
    }
    pipeline.catch_up();
    let counts = |column: &str| -> BTreeMap<String, (u64, u64)> {
        let query = format!(
            "select toString({column}) as name, count() as n, uniqExact(event_id) as distinct_ids \
             from audit_logs where tenant_id = 'arithmetic-audit' group by name"
        );
        pipeline
            .bed
            .sql::<(String, u64, u64)>(&query)
            .into_iter()
            .map(|(name, n, ids)| (name, (n, ids)))
            .collect()
    };
    let expected = |pairs: &[(&str, u64)]| {
        pairs
            .iter()
            .map(|(name, n)| ((*name).to_owned(), (2 * n, *n)))
            .collect()
    };
    assert_eq!(
        counts("status"),
        expected(&[("failure", 42), ("error", 24), ("success", 144)])
    );
    assert_eq!(
        counts("action"),
        expected(&[("s3:N0", 70), ("s3:N1", 70), ("s3:N2", 70)])
    );
}

#[test]
fn real_metrics_give_the_hours_that_were_computed_independently() {
    let Some(folder) = recordings() else { return };
    let pipeline = pipeline();
    for (unit, files) in files_by_unit(&folder) {
        let arguments: Vec<&str> = unit.iter().flat_map(|unit| ["--unit", unit.as_str()]).collect();
        pipeline.import("real", &arguments, &files);
    }
    pipeline.catch_up();
    let answers = Answers::read(&folder.join("expected_hourly.csv"));
    answers.assert_stored(&pipeline.bed, "real");
}

/// The files, by the unit to import them with: none where the columns name their units.
fn files_by_unit(folder: &Path) -> BTreeMap<Option<String>, Vec<PathBuf>> {
    #[derive(Deserialize)]
    struct Series {
        source_file: String,
        unit: String,
    }
    let mut units: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in csv::Reader::from_path(folder.join("expected_series.csv"))
        .unwrap()
        .deserialize()
    {
        let Series { source_file, unit } = series.unwrap();
        units.entry(source_file).or_default().insert(unit);
    }
    let mut files: BTreeMap<Option<String>, Vec<PathBuf>> = BTreeMap::new();
    for (file, units) in units {
        // A file with several units has them in its header; so has one whose columns are metrics of a service.
        let in_header = units.len() > 1 || file.contains("service");
        let unit = if in_header { None } else { units.into_iter().next() };
        files.entry(unit).or_default().push(folder.join("metrics").join(file));
    }
    files
}

/// CloudTrail events, all of them audit events.
const TRAIL: &str = "aws_cloudtrail_invictus.ndjson.gz";
/// Events of the Windows event log, of which few are audit events.
const WINDOWS: &str = "windows_security_auditpol.ndjson.gz";

#[test]
fn real_audit_events_give_the_counts_that_were_computed_independently() {
    let Some(folder) = recordings() else { return };
    let pipeline = pipeline();
    let said = pipeline.import("real-audit", &[], &[folder.join("audit").join(TRAIL)]);
    assert!(said.contains("sent 2900 audit events"), "{said}");
    pipeline.catch_up();
    let ids = ("distinct_event_ids", "uniqExact(event_id)");
    assert_counts(&pipeline.bed, "real-audit", &folder, TRAIL, &[ids]);
}

#[test]
fn real_windows_events_give_the_counts_that_were_computed_independently() {
    let Some(folder) = recordings() else { return };
    let pipeline = pipeline();
    let said = pipeline.import("real-windows", &[], &[folder.join("audit").join(WINDOWS)]);
    assert!(said.contains("sent 307 audit events"), "{said}");
    assert!(
        said.contains("skipped 13338 (event from a channel other than Security 13338)"),
        "{said}"
    );
    pipeline.catch_up();
    assert_counts(&pipeline.bed, "real-windows", &folder, WINDOWS, &[]);
}

/// The counts of the tenant's events are those that the expectations give for a set: by day, user, error and in total.
fn assert_counts(bed: &Bed, tenant: &str, folder: &Path, set: &str, summed: &[(&str, &str)]) {
    // The column about the set's own ids is left to the summary: not every set has them.
    type Daily = (String, String, String, u64, u64, u64);
    let daily: BTreeSet<Daily> = expected(&folder.join("expected_audit_daily.csv"), set);
    let daily: BTreeSet<_> = (daily.into_iter())
        .map(|(day, action, status, n, _, users)| (day, action, status, n, users))
        .collect();
    let stored = bed.sql(&format!(
        "select toString(toDate(occurred_at)) as day, toString(action) as what, toString(status) as how, count() as n, \
         uniqExactIf(user_id, user_id != '') as users \
         from audit_logs where tenant_id = '{tenant}' group by day, what, how"
    ));
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), daily);

    let by_user: BTreeSet<(String, u64, u64)> = expected(&folder.join("expected_audit_by_user.csv"), set);
    let stored = bed.sql(&format!(
        "select toString(user_id) as who, count() as n, countIf(status != 'success') as refused \
         from audit_logs where tenant_id = '{tenant}' group by who"
    ));
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), by_user);

    let by_error: BTreeSet<(String, String, u64)> = expected(&folder.join("expected_audit_by_error.csv"), set);
    let stored = bed.sql(&format!(
        "select toString(metadata['error_code']) as code, toString(status) as how, count() as n \
         from audit_logs where tenant_id = '{tenant}' group by code, how"
    ));
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), by_error);
    assert_summary(bed, tenant, folder, set, summed);
}

/// The lines of an expectation file about a set, without the set's name.
fn expected<T: serde::de::DeserializeOwned + Ord>(path: &Path, set: &str) -> BTreeSet<T> {
    let mut lines = csv::Reader::from_path(path).unwrap();
    let of_set = lines.records().map(Result::unwrap).filter(|line| &line[0] == set);
    of_set
        .map(|line| {
            line.iter()
                .skip(1)
                .collect::<csv::StringRecord>()
                .deserialize(None)
                .unwrap()
        })
        .collect()
}

fn assert_summary(bed: &Bed, tenant: &str, folder: &Path, set: &str, summed: &[(&str, &str)]) {
    let text = std::fs::read_to_string(folder.join("expected_audit_summary.json")).unwrap();
    let summary = serde_json::from_str::<serde_json::Value>(&text).unwrap()[set].clone();
    let columns = [
        ("mapped", "count()"),
        (
            "distinct_users",
            "uniqExactIf(user_id, user_id != '') + max(user_id = '')",
        ),
        ("null_user", "countIf(user_id = '')"),
        ("distinct_actions", "uniqExact(action)"),
        ("request_id_missing", "countIf(request_id = '')"),
        ("ip_missing", "countIf(ip_address = '')"),
        (
            "ip_not_an_address",
            "countIf(ip_address != '' and not isIPv4String(ip_address) and not isIPv6String(ip_address))",
        ),
        ("with_error_code", "countIf(metadata['error_code'] != '')"),
        ("with_old_value", "countIf(old_value != '')"),
    ];
    for (name, expression) in columns.iter().chain(summed) {
        let query = format!("select {expression} from audit_logs where tenant_id = '{tenant}'");
        assert_eq!(Some(bed.one::<u64>(&query)), summary[*name].as_u64(), "{name}");
    }
    for (name, expression) in [("first", "min(occurred_at)"), ("last", "max(occurred_at)")] {
        let query = format!("select toUnixTimestamp64Micro({expression}) from audit_logs where tenant_id = '{tenant}'");
        let time = chrono::DateTime::parse_from_rfc3339(summary[name].as_str().unwrap()).unwrap();
        assert_eq!(bed.one::<i64>(&query), time.timestamp_micros(), "{name}");
    }
}
