//! Results: complete and in the requested format, or recognisably broken.

use std::io::Read;
use std::time::Duration;

use clickhouse::Row;
use reqwest::{Method, StatusCode};
use serde::Deserialize;

use crate::server::Engine;

const ENDLESS: &str = "select count() from numbers(1000000000000) where not ignore(sipHash64(number))";

#[tokio::test]
async fn parameters_are_bound_on_either_side() {
    let engine = Engine::start();
    let client = engine.client();
    let hostile = "it's \\ \"quoted\" {x} \u{1f552}\n";
    let bound = client
        .query("select ? as a")
        .bind(hostile)
        .fetch_one::<String>()
        .await
        .unwrap();
    let server_side = client
        .query("select {a: String} as a")
        .param("a", hostile)
        .fetch_one::<String>()
        .await
        .unwrap();
    assert_eq!([bound.as_str(), server_side.as_str()], [hostile, hostile]);
    let sum = client
        .query("select arraySum({a: Array(UInt32)})")
        .param("a", vec![1, 2, 3])
        .fetch_one::<u64>()
        .await
        .unwrap();
    assert_eq!(sum, 6);
    let (_, text) = engine
        .post(&[("param_x", "41"), ("query", "select {x: UInt8} + 1")], "")
        .await;
    assert_eq!(text, "42\n");
}

#[derive(Debug, PartialEq, Row, Deserialize)]
struct Number {
    number: u64,
    text: String,
}

#[tokio::test]
async fn five_million_rows_stream_with_flat_memory() {
    let engine = Engine::start();
    let client = engine.client();
    client.query("select 1").fetch_one::<u8>().await.unwrap();
    let (before, _) = engine.resident_bytes();
    let mut rows = client
        .query("select number, concat('row ', toString(number)) as text from numbers(5000000)")
        .fetch::<Number>()
        .unwrap();
    let (mut count, mut sum) = (0_u64, 0_u64);
    while let Some(row) = rows.next().await.unwrap() {
        assert_eq!(row.text.strip_prefix("row "), Some(row.number.to_string().as_str()));
        count += 1;
        sum += row.number;
    }
    assert_eq!((count, sum), (5_000_000, 5_000_000 * 4_999_999 / 2));
    let (after, _) = engine.resident_bytes();
    assert!(
        after < before + (150 << 20),
        "{} MiB more at the peak, for 110 MB of rows",
        (after - before) >> 20
    );
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_engine_back() {
    let engine = Engine::start();
    let mut response = engine
        .request(Method::POST, &[("default_format", "RowBinary")])
        .body("select number, randomPrintableASCII(200) from numbers(20000000)")
        .send()
        .await
        .unwrap();
    let (mut received, mut peak) = (0, 0);
    while received < 4 << 20 {
        received += response.chunk().await.unwrap().unwrap().len();
        peak = peak.max(engine.resident_bytes().0);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(
        peak < 1 << 30,
        "{} MiB for a result of 4 GB that nobody reads",
        peak >> 20
    );
    drop(response);
    engine.sql_until("select count() from system.processes where query like '%randomPrintable%' and query not like '%processes%'", "0").await;
}

#[tokio::test]
async fn a_type_that_does_not_fit_is_found_by_the_clients_validation() {
    let engine = Engine::start();
    let error = engine
        .client()
        .query("select 1::UInt32 as number, 2 as text")
        .fetch_one::<Number>()
        .await
        .unwrap_err();
    assert!(matches!(error, clickhouse::error::Error::SchemaMismatch(_)), "{error}");
    let none = engine
        .client()
        .query("select number, '' as text from numbers(0)")
        .fetch_all::<Number>()
        .await
        .unwrap();
    assert_eq!(none, []);
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_result_reaches_the_client() {
    let engine = Engine::start();
    let sql = "select number, toString(throwIf(number = 3000000, 'in the middle')) as text from numbers(5000000)";
    for client in [
        engine.client(),
        engine.client().with_compression(clickhouse::Compression::None),
    ] {
        let mut rows = client.query(sql).fetch::<Number>().unwrap();
        let error = loop {
            match rows.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a part was taken for the whole"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.contains("Code: 395.") && error.contains("in the middle"),
            "{error}"
        );
    }
    // A client that does not know ClickHouse's marker sees a connection that breaks off.
    let response = engine.request(Method::POST, &[]).body(sql).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
    // And a client that waits for the end gets the status.
    let (status, text) = engine.post(&[("wait_end_of_query", "1")], sql).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(text.starts_with("Code: 395."));
}

#[tokio::test]
async fn a_streamed_result_has_its_header_once() {
    let engine = Engine::start();
    const ROWS: usize = 200_000; // several of the engine's blocks
    let sql = format!("select number as `a\"b`, toString(number) as c from numbers({ROWS})");
    for (format, header) in [
        ("CSVWithNames", "\"a\"\"b\",\"c\"\n"),
        ("CSVWithNamesAndTypes", "\"a\"\"b\",\"c\"\n\"UInt64\",\"String\"\n"),
        ("TSVWithNames", "a\"b\tc\n"),
        ("TSVWithNamesAndTypes", "a\"b\tc\nUInt64\tString\n"),
        ("JSONCompactEachRowWithNames", "[\"a\\\"b\", \"c\"]\n"),
        ("TSV", ""),
        ("CSV", ""),
        ("JSONEachRow", ""),
    ] {
        let (_, text) = engine.post(&[("default_format", format)], sql.clone()).await;
        assert!(text.starts_with(header), "{format}");
        assert_eq!(text.lines().count(), ROWS + header.lines().count(), "{format}");
        assert_eq!(
            text.matches(header).count(),
            if header.is_empty() { text.chars().count() + 1 } else { 1 },
            "{format}"
        );
    }
    for format in ["CSVWithNames", "TSVWithNamesAndTypes"] {
        let (_, text) = engine
            .post(&[("default_format", format)], "select 1 as x from numbers(0)")
            .await;
        assert_eq!(
            text.lines().next().map(|line| line.trim_matches('"')),
            Some("x"),
            "{format}"
        );
    }
}

#[tokio::test]
async fn what_belongs_to_a_whole_result_comes_once() {
    let engine = Engine::start();
    let totals = "select number % 2 as k, count() from numbers(300000) group by k with totals order by k";
    assert_eq!(engine.sql(totals).await, "0\t150000\n1\t150000\n\n0\t300000");
    let array = "select number from numbers(3) settings output_format_json_array_of_rows = 1 format JSONEachRow";
    assert_eq!(
        engine.sql(array).await.split_whitespace().collect::<String>(),
        "[{\"number\":0},{\"number\":1},{\"number\":2}]"
    );
    let (_, json) = engine.post(&[], "select number from numbers(200000) format JSON").await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["rows"],
        200_000
    );
    let response = engine
        .request(Method::POST, &[])
        .body("select 1 as x format Parquet")
        .send()
        .await
        .unwrap();
    assert_eq!(&response.bytes().await.unwrap()[..4], b"PAR1");
}

#[tokio::test]
async fn a_result_that_cannot_be_streamed_has_a_limit() {
    let engine = Engine::start();
    let sql = "select repeat('x', 1000) from numbers(200000) format JSON";
    let (_, text) = engine.post(&[], sql).await;
    assert!(text.starts_with("Code: 396."), "{}", &text[..text.len().min(200)]);
    assert_eq!(engine.sql("select 1").await, "1");
}

/// The content of ClickHouse's compressed blocks.
fn unblock(mut stream: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while !stream.is_empty() {
        let packed = u32::from_le_bytes(stream[17..21].try_into().unwrap()) as usize;
        let (block, rest) = stream.split_at(16 + packed);
        let sum = u128::from_le_bytes(block[..16].try_into().unwrap());
        assert_eq!(sum, cityhash_rs::cityhash_102_128(&block[16..]).rotate_right(64));
        let size = u32::from_le_bytes(block[21..25].try_into().unwrap()) as usize;
        content.extend(lz4_flex::block::decompress(&block[25..], size).unwrap());
        stream = rest;
    }
    content
}

#[tokio::test]
async fn a_result_is_compressed_as_asked() {
    let engine = Engine::start();
    let sql = "select number from numbers(300000)";
    let plain = engine
        .request(Method::POST, &[])
        .body(sql)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let blocks = engine
        .request(Method::POST, &[("compress", "1")])
        .body(sql)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(blocks.len() < plain.len() && unblock(&blocks) == plain);
    for name in ["gzip", "deflate", "lz4", "zstd"] {
        let request = engine
            .request(Method::POST, &[("enable_http_compression", "1")])
            .header("Accept-Encoding", name);
        let response = request.body(sql).send().await.unwrap();
        assert_eq!(response.headers()["content-encoding"], name);
        let body = response.bytes().await.unwrap();
        let mut content = Vec::new();
        let mut decoder: Box<dyn Read> = match name {
            "gzip" => Box::new(flate2::read::GzDecoder::new(body.as_ref())),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(body.as_ref())),
            "lz4" => Box::new(lz4_flex::frame::FrameDecoder::new(body.as_ref())),
            _ => Box::new(zstd::stream::read::Decoder::new(body.as_ref()).unwrap()),
        };
        decoder.read_to_end(&mut content).unwrap();
        assert!(content == plain, "{name}");
    }
}

#[tokio::test]
async fn a_select_stops_when_its_client_goes() {
    let engine = Engine::start();
    // One without output until its end, one that cannot be streamed, and one in the middle of its output.
    for sql in [
        ENDLESS.to_owned(),
        format!("{ENDLESS} format JSON"),
        "select number from numbers(1000000000000)".to_owned(),
    ] {
        let request = engine
            .request(Method::POST, &[("log_comment", "to be left")])
            .body(sql.clone());
        let running = tokio::spawn(async move {
            let mut response = request.send().await.unwrap();
            while response.chunk().await.unwrap().is_some() {}
        });
        let count = "select count() from system.processes where Settings['log_comment'] = 'to be left'";
        engine.sql_until(count, "1").await;
        running.abort();
        engine.sql_until(count, "0").await;
    }
}

#[derive(Row, serde::Serialize, Deserialize)]
struct Mark {
    client: u8,
    x: u64,
}

#[tokio::test]
async fn thirty_two_clients_work_at_the_same_time() {
    let engine = Engine::start();
    engine
        .sql("create table t (client UInt8, x UInt64) engine = MergeTree order by (client, x)")
        .await;
    let clients = (0..32_u8).map(|number| {
        let client = engine.client();
        async move {
            for round in 0..20_u64 {
                let mut insert = client.insert::<Mark>("t").await.unwrap();
                for x in 0..10 {
                    let mark = Mark {
                        client: number,
                        x: round * 10 + x,
                    };
                    insert.write(&mark).await.unwrap();
                }
                insert.end().await.unwrap();
                let own = client.query("select count() from t where client = ?").bind(number);
                assert_eq!(own.fetch_one::<u64>().await.unwrap(), (round + 1) * 10);
            }
        }
    });
    futures_util::future::join_all(clients).await;
    assert_eq!(
        engine.sql("select count(), uniqExact(client, x) from t").await,
        "6400\t6400"
    );
}

#[tokio::test]
async fn a_statement_has_a_thread_for_each_core() {
    let engine = Engine::start();
    let cores = std::thread::available_parallelism().unwrap().get();
    let pipeline = engine
        .sql("explain pipeline select max(number) from numbers_mt(100000000)")
        .await;
    let readers = format!("NumbersRange × {cores}");
    assert!(cores == 1 || pipeline.contains(&readers), "{readers}: {pipeline}");
}

#[tokio::test]
async fn statements_beyond_the_limit_wait_for_a_place() {
    let engine = Engine::start_with(&["--statements-max", "2"]);
    let selects = (0..12).map(|_| engine.sql("select sleep(0.1)"));
    assert_eq!(futures_util::future::join_all(selects).await, vec!["0"; 12]);
}
