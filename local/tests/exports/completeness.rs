//! How complete an export says that it is: what it lacks, what may be lost, and which span it covers.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::bed::{Bed, BedOptions, http, wait_until};
use crate::client::{ready, send};
use crate::history::{insert_again, insert_history};
use crate::requester::{DEADLINE, EXPORTS, assert_broken, assert_verifies, export, folder_in, manifest_of, of};

#[test]
fn what_is_of_another_topic_or_of_a_partition_that_nothing_was_read_of_is_said_not_to_be_in_it() {
    let (tenant, bed) = ("moved", Bed::shared());
    insert_history(tenant, 138, 60);
    bed.execute(
        "insert into audit_logs select * replace('audit-before' as kafka_topic, now64(3) as inserted_at) from audit_logs \
         where kafka_partition = 138",
    );
    bed.execute(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, inserted_at) \
         values ('ingest', 'audit-events', 139, 0, 0, 0, 'epoch', now64(3))",
    );
    let service = ready(bed, &[]);
    let (made, folder) = export(
        &service,
        tenant,
        &json!({"format": "ndjson", "filter": {"status": "failure", "to": "2025-12-31"}}),
    );
    assert_eq!(made["rows"], 6);
    let manifest = manifest_of(&folder);
    let ledger = &manifest["ledger"];
    assert_eq!(ledger["other_topics"], json!([{"topic": "audit-before", "rows": 6}]));
    assert_eq!(
        (&ledger["unread"], &manifest["completeness"]["covers_end"]),
        (&json!([139]), &json!(false))
    );
    assert_eq!(ledger["kept_from"], 0, "nothing is deleted by age");
    let said = assert_verifies(&folder, &[]);
    for line in [
        "NOT in it: 6 rows that match the filter but are from another topic, \"audit-before\"",
        "in the ledger was read; MORE may belong to the span",
        "NOTHING was read from the partitions [139]",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn offsets_without_a_record_in_a_batch_that_a_crash_interrupted_may_be_lost() {
    let (tenant, partition, bed) = ("interrupted", 142, Bed::shared());
    insert_history(tenant, partition, 60);
    // Offsets 60 to 109 are missing, 110 to 119 are stored: as if the log had lost the first part of a batch before it
    // was repeated.
    insert_again(partition, 60, "kafka_offset >= 50");
    bed.execute(&format!(
        "insert into batch_ledger select * replace('recovered' as entry, now64(3) as inserted_at) from batch_ledger final \
         where kafka_partition = {partition} and start_offset = 60"
    ));
    let (made, folder) = export(&ready(bed, &[]), tenant, &of("ndjson", "none"));
    assert_eq!(made["rows"], 60);
    let manifest = manifest_of(&folder);
    let mut logs = manifest["ledger"]["logs"].as_array().unwrap().iter();
    let log = logs.find(|log| log["partition"] == partition).unwrap();
    assert_eq!((&log["gap_offsets"], &log["records"]), (&json!(50), &json!(70)));
    let lost = manifest["completeness"]["lost_offsets"].as_i64().unwrap();
    assert!(lost >= 50, "{lost}");
    let said = assert_verifies(&folder, &[]);
    let line = format!("{lost} offsets of which no record was read may be LOST events of the span");
    assert!(said.contains(&line), "{said}");
}

#[test]
fn a_timestamp_that_a_producer_made_up_neither_completes_the_future_nor_hides_what_was_lost_or_rejected() {
    let (tenant, partition, bed) = ("dated", 143, Bed::shared());
    insert_history(tenant, partition, 60);
    let entry = |columns: &str, values: &str| {
        bed.execute(&format!(
            "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, inserted_at, {columns}) \
             values ('ingest', 'audit-events', {partition}, 1, now64(3), {values})"
        ));
    };
    for gap in ["'gap', 60, 70", "'gap', 71, 80"] {
        entry("entry, start_offset, end_offset", gap);
    }
    entry(
        "entry, start_offset, end_offset, records, rejected, first_timestamp, last_timestamp",
        "'batch', 70, 71, 1, 1, '1970-01-02 00:00:00', '2090-01-01 00:00:00'",
    );
    bed.execute(&format!(
        "insert into rejected_records (kafka_topic, kafka_partition, kafka_offset, kafka_timestamp, log_epoch, kind, step, reason, \
         inserted_at) values ('audit-events', {partition}, 70, '1970-01-02 00:00:00', 1, 'audit_event', 'validate', 'made_up', now64(3))"
    ));
    let asked = json!({"format": "ndjson", "filter": {"from": "2025-12-01"}});
    let (_, folder) = export(&ready(bed, &[]), tenant, &asked);
    let manifest = manifest_of(&folder);
    let of_partition = |of: &str| {
        let entries = manifest["ledger"][of].as_array().unwrap().iter();
        entries.filter(move |entry| entry["partition"] == partition)
    };
    let log = of_partition("logs").next().unwrap();
    assert_eq!(log["newest_record_at"], log["written_at"]);
    let found = bed.sql::<i64>(&format!(
        "select toUnixTimestamp64Milli(inserted_at) from batch_ledger final \
         where kafka_partition = {partition} and entry = 'gap' order by start_offset"
    ));
    let gaps: Vec<_> = of_partition("gaps").collect();
    assert_eq!(gaps.len(), 2);
    assert_eq!(gaps[1]["sent_after"], log["newest_record_at"]);
    for (gap, found) in gaps.iter().zip(found) {
        assert_eq!(gap["sent_before"], found);
    }
    assert_eq!(manifest["completeness"]["rejected"]["made_up"], 1);
    assert_verifies(&folder, &[]);
}

#[test]
fn from_when_on_events_are_kept_is_in_the_manifest_and_a_table_that_was_emptied_is_found_by_it() {
    let bed = Bed::start_with(&BedOptions {
        keep_all: false,
        ..BedOptions::default()
    });
    bed.execute(
        "insert into batch_ledger (stage, kafka_topic, kafka_partition, log_epoch, start_offset, end_offset, entry, records, rows, \
         hours, inserted_at) select 'ingest', 'audit-events', 0, 0, 0, 5, 'batch', 5, 5, map(toDateTime('2026-01-15 00:00:00', 'UTC'), toUInt64(5)), now64(3)",
    );
    let service = ready(&bed, &[]);
    let url = |path: &str| format!("{}{EXPORTS}{path}?tenant_id=kept", service.http());
    let asked = send(&bed, http().post(url("")).json(&of("csv", "none")));
    assert_eq!(asked.status, 202, "{}", asked.text);
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let get = |path: &str| send(&bed, http().get(url(path)));
    wait_until(DEADLINE, "the export is complete", || {
        get(&format!("/{id}")).json()["state"] == "complete"
    });
    let manifest = get(&format!("/{id}/files/manifest.json")).json();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64;
    let days = (now_ms - manifest["ledger"]["kept_from"].as_f64().unwrap()) / 86_400_000.0;
    assert!((days - 2_555.0).abs() < 1.0, "{days}");
    let broken = assert_broken(&folder_in(&bed, &service, &id), &[]);
    assert!(broken.contains("202601 (ledger 5, table 0)"), "{broken}");
}
