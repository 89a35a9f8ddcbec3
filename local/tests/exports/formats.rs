//! An export holds what is stored, whatever the format, as read by independent programs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::bed::{Bed, http, python};
use crate::client::ready;
use crate::history::{announce, insert_again, insert_history, insert_large_events_from, vouch};
use crate::requester::{assert_verifies, export, of};

/// The rows of a tenant as the engine has them, in the order of an export.
fn stored(tenant: &str) -> Vec<Value> {
    let sql = format!(
        "select event_id, tenant_id, toUnixTimestamp64Micro(occurred_at) as at, user_id, team_id, service_id, plugin_id, source, \
         action, resource_type, resource_id, resource_name, old_value, new_value, ip_address, user_agent, session_id, request_id, \
         status, error_message, metadata, kafka_topic, log_epoch, kafka_partition, kafka_offset, \
         toUnixTimestamp64Milli(kafka_timestamp) * 1000 as sent, toUnixTimestamp64Milli(inserted_at) * 1000 as stored \
         from audit_logs where tenant_id = '{tenant}' order by occurred_at, event_id format JSONEachRow \
         settings output_format_json_quote_64bit_integers = 0"
    );
    let bed = Bed::shared();
    let request = http()
        .post(format!("{}/?database=horolog", bed.layout().clickhouse_url()))
        .basic_auth("default", Some(bed.password()))
        .body(sql);
    let text = bed.block_on(async {
        request
            .send()
            .await
            .unwrap()
            .error_for_status()
            .unwrap()
            .text()
            .await
            .unwrap()
    });
    let rows = text.lines().map(|line| {
        let mut row: Value = serde_json::from_str(line).unwrap();
        let members = row.as_object_mut().unwrap();
        for (ours, theirs) in [
            ("at", "occurred_at"),
            ("sent", "kafka_timestamp"),
            ("stored", "inserted_at"),
        ] {
            let value = members.remove(ours).unwrap();
            members.insert(theirs.to_owned(), value);
        }
        row
    });
    rows.collect()
}

/// The rows of an export as Python reads them.
fn read_back(folder: &Path) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports/read_back.py");
    let output = Command::new(python("read-back", "pyarrow==26.0.1\n"))
        .arg(script)
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.split('\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_format_holds_what_was_put_in_over_24_months() {
    insert_history("formats", 101, 2_400);
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__EXPORTS__ROWS_PER_FILE", "60")]);
    let stored = stored("formats");
    assert_eq!(stored.len(), 2_400);
    for (format, compression) in [
        ("parquet", "zstd"),
        ("parquet", "gzip"),
        ("ndjson", "zstd"),
        ("ndjson", "none"),
        ("csv", "gzip"),
        ("csv", "none"),
    ] {
        let (export, folder) = export(&service, "formats", &of(format, compression));
        assert_eq!(
            (&export["rows"], &export["rows_planned"]),
            (&json!(2_400), &json!(2_400))
        );
        assert!(export["files"].as_array().unwrap().len() >= 48, "{export}");
        let read = read_back(&folder);
        assert_eq!(read.len(), stored.len(), "{format} {compression}");
        for (read, stored) in read.iter().zip(&stored) {
            assert_eq!(read, stored, "{format} {compression}");
        }
        let said = assert_verifies(&folder, &["--digest", export["digest"].as_str().unwrap()]);
        assert!(
            said.contains("2400 rows were read") && said.contains("the digest that was given"),
            "{said}"
        );
    }
}

#[test]
fn the_same_snapshot_gives_the_same_bytes_and_a_filter_only_its_events() {
    insert_history("same", 102, 600);
    let service = ready(Bed::shared(), &[]);
    let hashes = |export: &Value| -> Vec<(String, String)> {
        let files = export["files"].as_array().unwrap().iter();
        files
            .map(|file| (file["name"].to_string(), file["sha256"].to_string()))
            .collect()
    };
    for (format, compression) in [("parquet", "zstd"), ("ndjson", "zstd"), ("csv", "gzip")] {
        let [first, second] = [(); 2].map(|()| export(&service, "same", &of(format, compression)).0);
        assert_eq!(hashes(&first), hashes(&second), "{format}");
    }
    let filter = json!({"format": "ndjson", "compression": "none", "filter": {
        "user_id": "user7", "status": "success", "from": "2024-06-01", "to": "2025-06-01", "ip_address": "10.0.0.0/16"
    }});
    let (narrow, folder) = export(&service, "same", &filter);
    let expected = stored("same");
    let expected: Vec<_> = expected
        .iter()
        .filter(|row| row["user_id"] == "user7" && row["status"] == "success")
        .filter(|row| (1_717_200_000_000_000..1_748_736_000_000_000).contains(&row["occurred_at"].as_i64().unwrap()))
        .cloned()
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(read_back(&folder), expected);
    assert_eq!(narrow["rows"], expected.len());
    assert_verifies(&folder, &[]);
}

#[test]
fn a_repeated_event_is_exported_once_and_what_the_ledger_does_not_vouch_for_not_at_all() {
    insert_history("repeated", 103, 240);
    let bed = Bed::shared();
    let columns = "event_id, tenant_id, occurred_at, user_id, source, action, status, kafka_topic, kafka_partition, kafka_offset, \
                   kafka_timestamp, log_epoch, inserted_at";
    let again = |partition: i32, offset: i64, at: &str, of: i64| {
        bed.execute(&format!(
            "insert into audit_logs ({columns}) select event_id, tenant_id, {at}, 'again', source, action, status, kafka_topic, \
             {partition}, {offset}, kafka_timestamp, log_epoch, now64(3) from audit_logs \
             where kafka_partition = 103 and kafka_offset = {of}"
        ));
    };
    again(103, 1_000, "occurred_at", 5);
    again(103, 1_001, "occurred_at + interval 40 day", 5);
    again(103, 1_002, "occurred_at - interval 1 day", 200);
    // One more row: every export states the whole ledger, so other tests' exports would break if a row were changed.
    vouch(103, 240);
    again(103, 1_003, "occurred_at", 7);
    announce(103);
    // What is stored later is a later copy, also in a partition before that of the first.
    again(99, 0, "occurred_at", 9);
    vouch(99, 0);
    announce(99);
    let service = ready(bed, &[]);
    let (all, folder) = export(&service, "repeated", &of("ndjson", "none"));
    assert_eq!((&all["rows"], &all["rows_planned"]), (&json!(240), &json!(244)));
    assert!(read_back(&folder).iter().all(|row| row["user_id"] != "again"));
    let said = assert_verifies(&folder, &[]);
    assert!(said.contains("4 later copies of events were left out"), "{said}");
    // Two of them are copies of one event.
    assert_eq!((&all["repeats"], &all["differing"]), (&json!(4), &json!(4)));
    assert!(
        said.contains("4 of the later copies SAY SOMETHING ELSE") && said.contains("the manifest names 3:"),
        "{said}"
    );
    let (none, folder) = export(&service, "repeated", &json!({"filter": {"user_id": "again"}}));
    assert_eq!((&none["rows"], &none["files"]), (&json!(0), &json!([])));
    assert_verifies(&folder, &[]);
}

#[test]
fn a_history_that_was_imported_twice_is_exported_once() {
    insert_history("twice", 104, 2_400);
    insert_again(104, 2_400, "true");
    let service = ready(Bed::shared(), &[("HOROLOG_QUERY__EXPORTS__ROWS_PER_FILE", "60")]);
    let (made, folder) = export(&service, "twice", &of("ndjson", "none"));
    assert_eq!((&made["rows"], &made["rows_planned"]), (&json!(2_400), &json!(4_800)));
    let rows = read_back(&folder);
    assert!(rows.iter().all(|row| row["kafka_offset"].as_i64().unwrap() < 2_400));
    let said = assert_verifies(&folder, &[]);
    assert!(said.contains("2400 later copies of events were left out"), "{said}");
    assert_eq!((&made["repeats"], &made["differing"]), (&json!(2_400), &json!(0)));
    assert!(!said.contains("SAY SOMETHING ELSE"), "{said}");
}

/// More rows match than are looked up one by one: then copies are looked for among all the tenant's events.
#[test]
fn of_a_filter_that_lets_much_through_later_copies_are_left_out_as_well() {
    insert_history("much", 105, 60_000);
    insert_again(105, 60_000, "kafka_offset in (5, 30000)");
    let service = ready(Bed::shared(), &[]);
    let asked = json!({"format": "parquet", "filter": {"action": "doc.delete", "from": "2024-01-01"}});
    let few = json!({"format": "parquet", "filter": {"user_id": "user5"}});
    let all = json!({"format": "parquet", "filter": {"from": "2024-01-01"}});
    for (asked, rows, planned) in [(all, 60_000, 60_002), (asked, 30_000, 30_001), (few, 1_200, 1_201)] {
        let (made, folder) = export(&service, "much", &asked);
        assert_eq!(
            (&made["rows"], &made["rows_planned"]),
            (&json!(rows), &json!(planned)),
            "{asked}"
        );
        assert_verifies(&folder, &[]);
    }
}

#[test]
fn events_of_which_a_block_does_not_fit_into_the_memory_of_a_statement_are_exported_in_smaller_blocks() {
    let (tenant, bed) = ("large", Bed::shared());
    // Keeps each month in several parts, which reading has to merge.
    bed.execute("system stop merges audit_logs");
    for (day, partitions) in [("2024-01-01", 106..110), ("2024-02-01", 114..118)] {
        for partition in partitions {
            insert_large_events_from(day, tenant, partition, 1_000, 20_000);
        }
    }
    let memory = ("HOROLOG_QUERY__EXPORTS__STATEMENT_MEMORY_BYTES_MAX", "134217728");
    let service = ready(bed, &[memory]);
    let (made, folder) = export(&service, tenant, &of("parquet", "zstd"));
    bed.execute("system start merges audit_logs");
    assert_eq!(made["rows"], 8_000);
    assert_verifies(&folder, &[]);
    let log = std::fs::read_to_string(service.log()).unwrap();
    let smaller = || {
        log.lines()
            .filter(|line| line.contains("continues after memory ran short"))
    };
    for month in ["202401", "202402"] {
        assert!(
            smaller().any(|line| line.contains(month)),
            "each month begins with large ones: {log}"
        );
    }
    // The engine's block boundaries leave no trace.
    let (whole, _) = export(&ready(bed, &[]), tenant, &of("parquet", "zstd"));
    assert_eq!(whole["files"], made["files"]);
}
