//! Inserts: in every encoding, stored once or not at all.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use clickhouse::Row;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};

use crate::server::{DEADLINE, Engine};

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Sample {
    id: u64,
    name: String,
    value: f64,
    labels: Vec<(String, String)>,
}

fn sample(id: u64) -> Sample {
    let labels = vec![("region".to_owned(), format!("r{}", id % 7))];
    Sample {
        id,
        name: format!("it's \u{1f552} {id}"),
        value: id as f64 / 3.0,
        labels,
    }
}

async fn create(engine: &Engine) {
    engine
        .sql(
            "create table samples (id UInt64, name String, value Float64, labels Map(String, String)) engine = MergeTree \
             order by id settings storage_policy = 'tiered', non_replicated_deduplication_window = 1000",
        )
        .await;
}

#[tokio::test]
async fn rows_of_a_derived_type_come_back_as_they_were() {
    let engine = Engine::start();
    create(&engine).await;
    let client = engine.client();
    let rows: Vec<Sample> = (0..10_000).map(sample).collect();
    let mut insert = client.insert::<Sample>("samples").await.unwrap();
    for row in &rows {
        insert.write(row).await.unwrap();
    }
    insert.end().await.unwrap();
    let stored = client
        .query("select ?fields from samples order by id")
        .fetch_all::<Sample>()
        .await
        .unwrap();
    assert_eq!(stored, rows);
}

fn arrow_stream(rows: std::ops::Range<i64>) -> Vec<u8> {
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(Int64Array::from_iter_values(rows.clone()))),
        (
            "name",
            Arc::new(StringArray::from_iter_values(rows.clone().map(|id| format!("n{id}")))),
        ),
        (
            "value",
            Arc::new(Float64Array::from_iter_values(rows.map(|id| id as f64))),
        ),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test]
async fn an_arrow_stream_with_a_token_is_stored_once() {
    let engine = Engine::start();
    create(&engine).await;
    let client = engine
        .client()
        .with_setting("async_insert", "0")
        .with_setting("max_insert_threads", "1")
        .with_setting("insert_deduplicate", "1")
        .with_setting(
            "insert_deduplication_token",
            "ingest/cluster/topic/0/0-100000/metrics/0",
        );
    for _ in 0..2 {
        let mut insert = client
            .insert_formatted_with("insert into samples (id, name, value) format ArrowStream")
            .with_timeouts(Some(DEADLINE), Some(DEADLINE));
        for piece in arrow_stream(0..100_000).chunks(1 << 18) {
            insert.send(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        insert.end().await.unwrap();
    }
    assert_eq!(
        engine
            .sql("select count(), uniqExact(id), max(value) from samples")
            .await,
        "100000\t100000\t99999"
    );
}

#[tokio::test]
async fn an_insert_that_is_dropped_leaves_no_row() {
    let engine = Engine::start();
    create(&engine).await;
    let client = engine.client();
    let mut insert = client.insert::<Sample>("samples").await.unwrap();
    for id in 0..200_000 {
        insert.write(&sample(id)).await.unwrap();
    }
    drop(insert);
    let mut insert = client.insert_formatted_with("insert into samples (id, name, value) format ArrowStream");
    let stream = arrow_stream(0..100_000);
    insert
        .send(Bytes::copy_from_slice(&stream[..stream.len() / 2]))
        .await
        .unwrap();
    drop(insert);
    engine
        .sql_until("select count() from system.processes where query ilike 'insert%'", "0")
        .await;
    assert_eq!(engine.sql("select count() from samples").await, "0");
}

#[tokio::test]
async fn an_insert_that_stalls_is_given_up_and_leaves_no_row() {
    let engine = Engine::start_with(&["--receive-timeout-seconds", "1"]);
    create(&engine).await;
    let rows = futures_util::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"{\"id\":1}\n")) });
    let stalled = futures_util::StreamExt::chain(rows, futures_util::stream::pending());
    let request = engine
        .request(Method::POST, &[("query", "insert into samples format JSONEachRow")])
        .body(reqwest::Body::wrap_stream(stalled))
        .timeout(DEADLINE);
    // The answer comes while the body is still open; a client may also see the connection close under it.
    if let Ok(response) = request.send().await {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.text().await.unwrap().starts_with("Code: 209."));
    }
    engine
        .sql_until("select count() from system.processes where query ilike 'insert%'", "0")
        .await;
    assert_eq!(engine.sql("select count() from samples").await, "0");
}

#[tokio::test]
async fn the_reason_of_a_refusal_reaches_a_client_that_still_sends() {
    let engine = Engine::start();
    let client = engine.client();
    let stream = Bytes::from(arrow_stream(0..100_000));
    let mut insert = client.insert_formatted_with("insert into nowhere format ArrowStream");
    for _ in 0..20 {
        if insert.send(stream.clone()).await.is_err() {
            break;
        }
    }
    let error = insert.end().await.unwrap_err().to_string();
    assert!(error.contains("Code: 60."), "{error}");
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn lz4(content: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// One of ClickHouse's compressed blocks.
fn block(method: u8, packed: &[u8], content_bytes: usize) -> Vec<u8> {
    let mut block = vec![method];
    block.extend_from_slice(&(packed.len() as u32 + 9).to_le_bytes());
    block.extend_from_slice(&(content_bytes as u32).to_le_bytes());
    block.extend_from_slice(packed);
    let sum = cityhash_rs::cityhash_102_128(&block).rotate_right(64);
    [sum.to_le_bytes().as_slice(), &block].concat()
}

#[tokio::test]
async fn every_encoding_of_a_body_is_read() {
    let engine = Engine::start();
    engine
        .sql("create table t (x String) engine = MergeTree order by x")
        .await;
    let query = [("query", "insert into t format TSV")];
    for (name, body) in [
        ("gzip", gzip(b"gzip\n")),
        ("zstd", zstd::encode_all(b"zstd\n".as_slice(), 1).unwrap()),
        ("lz4", lz4(b"lz4\n")),
        ("identity", b"identity\n".to_vec()),
    ] {
        let request = engine
            .request(Method::POST, &query)
            .header("Content-Encoding", name)
            .body(body);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK, "{name}");
    }
    let blocks = [("query", "insert into t format TSV"), ("decompress", "1")];
    let two = [
        block(0x82, &lz4_flex::block::compress(b"block lz4\n"), 10),
        block(0x02, b"block none\n", 11),
    ]
    .concat();
    let zstd = block(0x90, &zstd::bulk::compress(b"block zstd\n", 1).unwrap(), 11);
    for body in [two, zstd] {
        let (status, text) = engine.post(&blocks, body).await;
        assert_eq!(status, StatusCode::OK, "{text}");
    }
    let stored = engine
        .sql("select arrayStringConcat(arraySort(groupArray(x)), ',') from t")
        .await;
    assert_eq!(stored, "block lz4,block none,block zstd,gzip,identity,lz4,zstd");
}

#[tokio::test]
async fn a_damaged_body_is_refused_as_a_whole() {
    let engine = Engine::start();
    engine
        .sql("create table t (x String) engine = MergeTree order by x")
        .await;
    let blocks = [("query", "insert into t format TSV"), ("decompress", "1")];
    let good = block(0x02, b"good\n", 5);
    let mut flipped = block(0x02, b"flip\n", 5);
    *flipped.last_mut().unwrap() ^= 1;
    let (_, text) = engine.post(&blocks, [good.clone(), flipped].concat()).await;
    assert!(text.starts_with("Code: 40."), "{text}");
    let (_, text) = engine.post(&blocks, [good.as_slice(), &good[..20]].concat()).await;
    assert!(text.starts_with("Code: 271."), "{text}");
    let (_, text) = engine.post(&[("query", "insert into t (y) format TSV")], "x\n").await;
    assert!(text.contains("Code: 16."), "{text}");
    let (status, text) = engine
        .post(
            &[("query", "insert into t format JSONEachRow")],
            "{\"x\": \"a\"}\n{\"x\": oops}\n",
        )
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    assert_eq!(engine.sql("select count() from t").await, "0");
}

#[tokio::test]
async fn the_statement_may_be_in_the_url_in_the_body_or_in_both() {
    let engine = Engine::start();
    engine
        .sql("create table t (x UInt64) engine = MergeTree order by x")
        .await;
    for (query, body) in [
        ("insert into t format TSV", "1\n"),
        ("", "insert into t format TSV\n2\n"),
        ("insert into t", "format TSV\n3\n"),
        ("insert into t values", "(4)"),
        ("insert into t values (5)", ""),
        ("", "insert into t select 6"),
        ("insert into t", "select 7"),
        (
            "",
            "/* c */ insert into default.t (x) settings max_insert_threads = 1 format JSONEachRow {\"x\": 8}",
        ),
    ] {
        let (status, text) = engine.post(&[("query", query)], body).await;
        assert_eq!(status, StatusCode::OK, "{query} {body}: {text}");
    }
    let (status, text) = engine
        .post(
            &[("query", "insert into {t:Identifier} format TSV"), ("param_t", "t")],
            "9\n",
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{text}");
    assert_eq!(
        engine.sql("select arraySort(groupArray(x)) from t").await,
        "[1,2,3,4,5,6,7,8,9]"
    );
}

#[tokio::test]
async fn an_insert_says_how_many_rows_it_wrote() {
    let engine = Engine::start();
    engine
        .sql("create table t (x UInt64) engine = MergeTree order by x")
        .await;
    let response = engine
        .request(Method::POST, &[("query", "insert into t format TSV")])
        .body("1\n2\n3\n")
        .send()
        .await
        .unwrap();
    let summary = response.headers()["x-clickhouse-summary"].to_str().unwrap().to_owned();
    assert!(summary.contains("\"written_rows\":\"3\""), "{summary}");
}

async fn insert_thousand(client: &clickhouse::Client, first_id: u64) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Sample>("samples").await?;
    for id in first_id..first_id + 1000 {
        insert.write(&sample(id)).await?;
    }
    insert.end().await
}

#[tokio::test]
async fn acknowledged_rows_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..3_u64 {
        let engine = Engine::start_in(folder.path(), &[]);
        if round == 0 {
            create(&engine).await;
            engine
                .sql("alter table samples modify setting fsync_after_insert = 1, fsync_part_directory = 1")
                .await;
        }
        let stored: u64 = engine.sql("select count() from samples").await.parse().unwrap();
        assert!(
            stored >= acknowledged,
            "{stored} rows of {acknowledged} acknowledged ones"
        );
        acknowledged = stored;
        let client = engine.client();
        let first_id = round * 1_000_000_000;
        insert_thousand(&client, first_id).await.unwrap();
        acknowledged += 1000;
        let inserts = async {
            for batch in 1.. {
                insert_thousand(&client, first_id + batch * 1000).await?;
                acknowledged += 1000;
            }
            Ok::<(), clickhouse::error::Error>(())
        };
        // The kill comes at any moment after the first insert.
        let _ = tokio::time::timeout(Duration::from_millis(700), inserts).await;
        engine.kill();
    }
    let engine = Engine::start_in(folder.path(), &[]);
    let [stored, different]: [u64; 2] = {
        let answer = engine.sql("select count(), uniqExact(id) from samples").await;
        let numbers: Vec<u64> = answer.split('\t').map(|number| number.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    };
    assert!(
        stored >= acknowledged && stored == different,
        "{stored} rows, {different} different, {acknowledged} acknowledged"
    );
}
