//! Start, stop, and what is left behind.

use reqwest::Method;

use crate::server::{DEADLINE, Engine, launch, log};

#[tokio::test]
async fn an_idle_engine_stops_at_once_and_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut engine = Engine::start_in(folder.path(), &[]);
        engine
            .sql("create table if not exists t (x UInt64) engine = MergeTree order by x")
            .await;
        engine.post(&[("query", "insert into t format TSV")], "1\n").await;
        assert_eq!(engine.sql("select sum(x) from t").await, (round + 1).to_string());
        engine.terminate();
        assert_eq!(engine.wait().code(), Some(0), "{}", engine.log());
    }
}

#[tokio::test]
async fn a_running_insert_is_finished_and_new_statements_are_refused() {
    let mut engine = Engine::start();
    engine
        .sql("create table t (x UInt64) engine = MergeTree order by x")
        .await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let received = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let body = reqwest::Body::wrap_stream(received);
    let insert = tokio::spawn(
        engine
            .request(Method::POST, &[("query", "insert into t format TSV")])
            .body(body)
            .send(),
    );
    sender.send(Ok("1\n".into())).await.unwrap();
    engine
        .sql_until("select count() from system.processes where query ilike 'insert%'", "1")
        .await;
    engine.terminate();
    let refused = async { while engine.request(Method::POST, &[]).body("select 1").send().await.is_ok() {} };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    sender.send(Ok("2\n".into())).await.unwrap();
    drop(sender);
    assert!(insert.await.unwrap().unwrap().status().is_success());
    assert_eq!(engine.wait().code(), Some(0), "{}", engine.log());
}

#[tokio::test]
async fn statements_that_do_not_end_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = Engine::start_in(folder.path(), &["--shutdown-seconds", "1"]);
    engine
        .sql("create table t (x UInt64) engine = MergeTree order by x")
        .await;
    let endless = "select count() from numbers(1000000000000) where not ignore(sipHash64(number))";
    let select = tokio::spawn(engine.request(Method::POST, &[]).body(endless).send());
    let copy = tokio::spawn(
        engine
            .request(Method::POST, &[])
            .body(format!("insert into t {endless}"))
            .send(),
    );
    let stalled = reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let insert = tokio::spawn(
        engine
            .request(Method::POST, &[("query", "insert into t format TSV")])
            .body(stalled)
            .send(),
    );
    engine
        .sql_until(
            "select count() from system.processes where query not like '%processes%'",
            "3",
        )
        .await;
    engine.terminate();
    assert_eq!(engine.wait().code(), Some(0), "{}", engine.log());
    for statement in [select, copy, insert] {
        let outcome = statement.await.unwrap();
        assert!(outcome.map_or(true, |response| !response.status().is_success()));
    }
    let engine = Engine::start_in(folder.path(), &[]);
    assert_eq!(engine.sql("select count() from t").await, "0");
}

#[tokio::test]
async fn what_cannot_start_says_what_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start_in(folder.path(), &[]);
    let refused = |listen: &str, arguments: &[&str]| {
        let before = log(folder.path()).len();
        let mut process = launch(folder.path(), listen, arguments);
        let status = process.wait(DEADLINE).expect("it started");
        assert!(!status.success());
        log(folder.path())[before..].to_owned()
    };
    let in_use = refused("127.0.0.1:0", &[]);
    assert!(
        in_use.contains("is in use by another engine") && in_use.contains("--data"),
        "{in_use}"
    );
    let port = refused(&format!("127.0.0.1:{}", engine.port()), &[]);
    assert!(
        port.contains(&format!("--listen 127.0.0.1:{}", engine.port())),
        "{port}"
    );
    let address = refused("0.0.0.0:0", &[]);
    assert!(
        address.contains("--listen") && address.contains("loopback"),
        "{address}"
    );
    for text in [in_use, port, address] {
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[tokio::test]
async fn old_parts_move_to_the_cold_volume() {
    let engine = Engine::start();
    engine
        .sql(
            "create table t (time DateTime, x UInt64) engine = MergeTree partition by toYYYYMM(time) order by time \
             ttl time + interval 1 day to volume 'cold' settings storage_policy = 'tiered', merge_with_ttl_timeout = 0",
        )
        .await;
    engine
        .sql("insert into t values (now(), 1), (now() - interval 90 day, 2)")
        .await;
    let disks = "select disk_name from system.parts where table = 't' and active order by partition";
    engine.sql_until(disks, "cold\nhot").await;
}
