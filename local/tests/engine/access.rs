//! Authentication, and what clients may do.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::server::{Engine, PASSWORD};

#[tokio::test]
async fn only_the_right_password_is_let_in() {
    let engine = Engine::start();
    let http = reqwest::Client::new();
    let url = engine.address(&[("query", "select 1")]);
    let with = |name, value| engine.address(&[("query", "select 1"), ("user", "default"), (name, value)]);
    let status = |request: reqwest::RequestBuilder| async {
        let response = request.send().await.unwrap();
        let code = response
            .headers()
            .get("x-clickhouse-exception-code")
            .map(|code| code.to_str().unwrap().to_owned());
        (response.status(), code)
    };
    let let_in = (StatusCode::OK, None);
    let forbidden = (StatusCode::FORBIDDEN, Some("516".to_owned()));
    assert_eq!(
        status(http.get(url.clone()).basic_auth("default", Some(PASSWORD))).await,
        let_in
    );
    assert_eq!(
        status(
            http.get(url.clone())
                .header("X-ClickHouse-User", "default")
                .header("X-ClickHouse-Key", PASSWORD)
        )
        .await,
        let_in
    );
    assert_eq!(status(http.get(with("password", PASSWORD))).await, let_in);
    assert_eq!(
        status(http.get(url.clone()).basic_auth("default", Some("wrong"))).await,
        forbidden
    );
    assert_eq!(
        status(http.get(url.clone()).basic_auth("root", Some(PASSWORD))).await,
        forbidden
    );
    assert_eq!(status(http.get(with("password", ""))).await, forbidden);
    assert_eq!(
        status(http.get(url.clone())).await,
        (StatusCode::UNAUTHORIZED, Some("516".to_owned()))
    );
    assert_eq!(
        http.get(format!("{}/ping", engine.url))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "Ok.\n"
    );

    let error = engine
        .client()
        .with_password("wrong")
        .query("select 1")
        .fetch_one::<u8>()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("Code: 516"), "{error}");
}

#[tokio::test]
async fn a_get_reads_only() {
    let engine = Engine::start();
    engine
        .sql("create table t (x UInt8) engine = MergeTree order by x")
        .await;
    let response = engine
        .request(Method::GET, &[("query", "insert into t values (1)")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-clickhouse-exception-code"], "164");
    let response = engine
        .request(Method::GET, &[("query", "drop table t"), ("readonly", "0")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["x-clickhouse-exception-code"], "164");
    for (method, status) in [(Method::HEAD, 500), (Method::PUT, 405), (Method::DELETE, 405)] {
        let response = engine
            .request(method, &[("query", "drop table t")])
            .send()
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
    let response = engine
        .request(Method::GET, &[("query", "select count() from t")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.text().await.unwrap(), "0\n");
}

#[tokio::test]
async fn only_settings_on_the_list_are_taken() {
    let engine = Engine::start();
    for (name, code) in [
        ("max_treads", "115"),
        ("s3_max_connections", "452"),
        ("query_cache_tag", "452"),
    ] {
        let response = engine
            .request(Method::POST, &[(name, "1")])
            .body("select 1")
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["x-clickhouse-exception-code"], code, "{name}");
    }
    let value = "select value from system.settings where name = 'max_threads'";
    assert_eq!(
        engine.post(&[("max_threads", "1")], value).await,
        (StatusCode::OK, "1\n".to_owned())
    );
    assert_ne!(engine.sql(value).await, "1", "a setting stayed on its connection");
    let (status, text) = engine.post(&[("max_threads", "many")], value).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
}

#[tokio::test]
async fn sql_reaches_no_file_no_program_and_no_network() {
    let engine = Engine::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("written.tsv");
    let written = file.display();
    engine
        .sql("create table words (word String) engine = MergeTree order by word")
        .await;
    engine
        .sql("insert into words values (concat('file', '(1)')), ('file(1)')")
        .await;
    for sql in [
        "select * from file('/etc/passwd', 'LineAsString')",
        "select * from url('http://127.0.0.1:1/', 'LineAsString')",
        "select * from remote('127.0.0.1:1', system.one)",
        "select * from s3('http://127.0.0.1:1/bucket/object', 'LineAsString')",
        &format!("insert into function file('{written}') select 1"),
        "create table t (x String) engine = File(TSV, '/etc/passwd')",
        "create table t (x String) engine = URL('http://127.0.0.1:1/', 'TSV')",
        "create database d engine = Filesystem('/etc')",
        "create dictionary d (k UInt64) primary key k source(executable(command 'id' format 'TSV')) layout(flat()) lifetime(0)",
        "system shutdown",
        "select file('/etc/passwd')",
        "insert into words values ('x'), (`file`('/etc/passwd'))",
    ] {
        let (status, text) = engine.post(&[], sql.to_owned()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{sql}: {text}");
        assert!(text.starts_with("Code: 497."), "{text}");
    }
    for sql in [
        &format!("select 1 into outfile '{written}'"),
        "insert into t from infile '/etc/passwd' format TSV",
    ] {
        let (_, text) = engine.post(&[], sql.to_owned()).await;
        assert!(text.starts_with("Code: 358."), "{sql}: {text}");
    }
    assert!(!file.exists());
}

#[tokio::test]
async fn errors_have_clickhouses_codes_and_statuses() {
    let engine = Engine::start();
    for (parameters, sql, code, status) in [
        (vec![], "select * from nowhere", "60", 404),
        (vec![("database", "nowhere")], "select 1", "81", 404),
        (vec![], "selekt 1", "62", 400),
        (vec![], "select 1; select 2", "62", 400),
        (vec![], "select nothing", "47", 404),
        (vec![("session_id", "s")], "select 1", "48", 501),
        (vec![("role", "r")], "select 1", "48", 501),
        (
            vec![("decompress", "1")],
            "select 1, plain, not in blocks at all",
            "39",
            500,
        ),
        (
            vec![("max_execution_time", "0.2")],
            "select count() from numbers(100000000000) where not ignore(sipHash64(number))",
            "159",
            408,
        ),
        (vec![], "select toUInt8('x')", "6", 400),
    ] {
        let response = engine
            .request(Method::POST, &parameters)
            .body(sql)
            .send()
            .await
            .unwrap();
        let got = (
            response.headers()["x-clickhouse-exception-code"]
                .to_str()
                .unwrap()
                .to_owned(),
            response.status().as_u16(),
        );
        let text = response.text().await.unwrap();
        assert_eq!(got, (code.to_owned(), status), "{sql}: {text}");
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")) && text.contains("(version "),
            "{text}"
        );
    }
}

#[tokio::test]
async fn an_answer_says_what_a_servers_answer_says() {
    let engine = Engine::start();
    let response = engine
        .request(Method::POST, &[("query_id", "mine"), ("default_format", "JSONEachRow")])
        .body("select number from numbers(10)")
        .send()
        .await
        .unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("x-clickhouse-query-id"), "mine");
    assert_eq!(header("x-clickhouse-format"), "JSONEachRow");
    assert_eq!(header("x-clickhouse-timezone"), "UTC");
    assert_eq!(header("content-type"), "application/x-ndjson; charset=UTF-8");
    assert!(!header("x-clickhouse-server-display-name").is_empty());
    let summary: Value = serde_json::from_str(&header("x-clickhouse-summary")).unwrap();
    assert_eq!(summary["read_rows"], "10");
    assert!(summary["elapsed_ns"].as_str().unwrap().parse::<u64>().unwrap() > 0);
}
