//! A tenant whose counters cannot be computed, and an engine whose clock differs from ours.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use horolog_schemas::MetricSample;

use crate::bed::{Proc, now_ms, wait_until};
use crate::flow::STORED_DEADLINE;
use crate::upkeep::{self, AT_ONCE, computed, counter, produce};

const HOUR_MS: i64 = 3_600_000;
const STEP_MS: i64 = 60_000;
/// How far the engine's clock is ahead, as the stage sees it.
const AHEAD_MS: i64 = 30_000;
/// What precedes the time in an answer: the name of its column, and the type.
const TIME: &[u8] = b"\x06now_ms\x05Int64";

/// The address of a proxy to an engine, which makes its clock appear ahead; it lives as long as the process.
fn engine_ahead(engine: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let engine = engine.trim_start_matches("http://").to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(engine) = TcpStream::connect(&engine) else {
                continue;
            };
            let (asking, asked) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
            std::thread::spawn(move || pass_on(asking, asked, |_| ()));
            std::thread::spawn(move || pass_on(engine, client, put_ahead));
        }
    });
    url
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, change: fn(&mut [u8])) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        change(&mut bytes[..read]);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Write));
}

fn put_ahead(answer: &mut [u8]) {
    if let Some(at) = answer.windows(TIME.len()).position(|window| window == TIME) {
        let time = &mut answer[at + TIME.len()..][..8];
        let ahead = i64::from_le_bytes((&*time).try_into().unwrap()) + AHEAD_MS;
        time.copy_from_slice(&ahead.to_le_bytes());
    }
}

/// The name of one tenant is a byte too long for a statement.
#[test]
fn a_tenant_whose_counters_cannot_be_computed_holds_nobody_back_and_is_known_to_lack_them() {
    let flow = upkeep::flow("failing", 1);
    let _ingest = flow.ingest(&[]);
    let this_hour = now_ms() / HOUR_MS * HOUR_MS;
    let name = "n".repeat(64_001);
    let mut samples = Vec::new();
    for time in (this_hour - 2 * HOUR_MS..now_ms()).step_by(STEP_MS as usize) {
        let sample = counter(&flow, "requests", 0, time, (time - this_hour + 2 * HOUR_MS) as f64);
        samples.push(MetricSample {
            tenant_id: name.clone(),
            ..sample.clone()
        });
        samples.push(sample);
    }
    let url = engine_ahead(&flow.bed.layout().clickhouse_url());
    let ahead = [
        ("HOROLOG_AGGREGATE__CLICKHOUSE__URL", url.as_str()),
        ("HOROLOG_AGGREGATE__CLICKHOUSE__COMPRESSION", "none"),
    ];
    let mut aggregate = flow.aggregate(&[&AT_ONCE[..], &ahead].concat());
    produce(&flow, 0, &samples);
    let through = || -> u32 {
        flow.bed.one(&format!(
            "select toUInt32(max(through)) from upkeep_progress where task = 'counters' and kafka_topic = '{}'",
            flow.topic
        ))
    };
    let before_this_hour = || through() >= (this_hour / 1_000) as u32;
    wait_until(
        STORED_DEADLINE,
        "the hours of all others are computed",
        before_this_hour,
    );
    assert_eq!(computed(&flow).0, 2);
    let lacking = || -> u64 {
        flow.bed.one(&format!(
            "select count() from (select hour from counter_revisions where kafka_topic = '{}' and length(tenant_id) = 64001 \
             group by hour having argMax((revision, hourly_samples), decided_at) = (0, 0))",
            flow.topic
        ))
    };
    assert_eq!(lacking(), 2);
    let marked: i64 = flow.bed.one(&format!(
        "select toUnixTimestamp64Milli(min(decided_at)) from counter_revisions where kafka_topic = '{}' and length(tenant_id) = 64001 \
         and hour = toDateTime({})",
        flow.topic,
        (this_hour - HOUR_MS) / 1_000
    ));
    let gone_on: i64 = flow.bed.one(&format!(
        "select toUnixTimestamp64Milli(min(inserted_at)) from upkeep_progress where task = 'counters' and kafka_topic = '{}' \
         and through >= toDateTime({})",
        flow.topic,
        this_hour / 1_000
    ));
    assert!(marked > gone_on, "the engine says when that was: {marked} {gone_on}");
    let is_counted = |aggregate: &Proc| {
        let answer = flow.bed.try_get(&format!("{}/metrics", aggregate.http()));
        answer.is_ok_and(|(_, metrics)| metrics.contains("horolog_upkeep_counter_hours_failed 2"))
    };
    wait_until(STORED_DEADLINE, "it is counted", || is_counted(&aggregate));
    aggregate.restart();
    wait_until(STORED_DEADLINE, "whoever comes next knows it", || {
        is_counted(&aggregate)
    });
}

/// An hour fails for want of memory; then aggregate is ahead of ingest in it, which is no loss.
#[test]
fn hours_that_failed_are_computed_at_last_also_if_ingest_was_behind_meanwhile() {
    const SAMPLES: i64 = 400_000;
    let flow = upkeep::flow("failing-behind", 1);
    let mut ingest = flow.ingest(&[]);
    let memory = ("HOROLOG_AGGREGATE__UPKEEP__STATEMENT_MEMORY_BYTES_MAX", "67108864");
    let mut aggregate = flow.aggregate(&[&AT_ONCE[..], &[memory]].concat());
    let this_hour = now_ms() / HOUR_MS * HOUR_MS;
    let samples = |from: i64, to: i64| -> Vec<MetricSample> {
        let sample = |at| {
            counter(
                &flow,
                "requests",
                0,
                this_hour - HOUR_MS + at * HOUR_MS / (SAMPLES + 20),
                at as f64,
            )
        };
        (from..to).map(sample).collect()
    };
    produce(&flow, 0, &samples(0, SAMPLES));
    produce(&flow, 0, &[counter(&flow, "other", 0, now_ms(), 1.0)]);
    let url = format!("{}/metrics", aggregate.http());
    let metrics = || {
        flow.bed
            .try_get(&url)
            .map_or_else(|_| String::new(), |(_, metrics)| metrics)
    };
    wait_until(STORED_DEADLINE, "the hour fails", || {
        metrics().contains("horolog_upkeep_counter_hours_failed 1")
    });
    ingest.stop();
    produce(&flow, 0, &samples(SAMPLES, SAMPLES + 10));
    flow.wait_until_stage_stored("aggregate");
    std::thread::sleep(std::time::Duration::from_secs(6)); // some rounds, in which it is tried again
    ingest.cont();
    flow.wait_until_stage_stored("ingest");
    aggregate.restart_with(&[("HOROLOG_AGGREGATE__UPKEEP__STATEMENT_MEMORY_BYTES_MAX", "1073741824")]);
    wait_until(STORED_DEADLINE, "the hour is computed, with what came late", || {
        let before: (u64, f64) = flow.bed.one(&format!(
            "select sum(samples), sum(increase) from counter_hourly_view where tenant_id = '{}' and hour < toDateTime({})",
            flow.topic,
            this_hour / 1_000
        ));
        before == ((SAMPLES + 10) as u64, (SAMPLES + 9) as f64)
    });
}
