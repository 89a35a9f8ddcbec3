//! What other clients send first: requests as Kafka Connect's sink, Altinity's data source for Grafana and curl make them.

use reqwest::{Method, StatusCode};

use crate::server::{Engine, PASSWORD};

#[tokio::test]
async fn the_java_clients_requests_are_answered_in_blocks() {
    let engine = Engine::start();
    engine.sql("create database audit").await;
    engine
        .sql("create table audit.events (id UInt64, name String) engine = MergeTree order by id")
        .await;
    let java = |format: &'static str| {
        [
            ("compress", "1"),
            ("default_format", format),
            ("wait_end_of_query", "1"),
            ("query_id", "8a0b7f3e"),
            ("date_time_input_format", "best_effort"),
            ("insert_quorum", "auto"),
            ("wait_for_async_insert", "1"),
        ]
    };
    for sql in [
        "select 1",
        "select version()",
        "describe table audit.events",
        "show tables from audit",
    ] {
        let response = engine
            .request(Method::POST, &java("RowBinaryWithNamesAndTypes"))
            .header("X-ClickHouse-Database", "audit")
            .body(sql)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{sql}");
        let body = response.bytes().await.unwrap();
        assert_eq!(body[16], 0x82, "{sql}: not a block of LZ4");
    }
}

#[tokio::test]
async fn grafanas_and_curls_requests_are_answered() {
    let engine = Engine::start();
    let parameters = [
        ("database", "default"),
        ("max_execution_time", "60"),
        ("enable_http_compression", "1"),
    ];
    let grafana = reqwest::Client::new()
        .post(engine.address(&parameters))
        .basic_auth("default", Some(PASSWORD))
        .header("Accept-Encoding", "gzip")
        .body("select 1 as n format JSON");
    let response = grafana.send().await.unwrap();
    assert_eq!(
        (
            response.status(),
            response.headers()["content-encoding"].to_str().unwrap()
        ),
        (StatusCode::OK, "gzip")
    );
    let boundary = "b0undary";
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nselect {{x:String}}\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"param_x\"\r\n\r\ny\r\n--{boundary}--\r\n"
    );
    let response = engine
        .request(Method::POST, &[])
        .header("Content-Type", format!("multipart/form-data; boundary={boundary}"))
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "y\n");
}
