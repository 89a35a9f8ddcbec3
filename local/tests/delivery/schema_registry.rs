//! Schemas that a registry knows: a small one on loopback, with Confluent's answers, that is away, wrong or ignorant when
//! it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use horolog_schemas::Kind;
use serde_json::{Value, json};

use crate::bed::{Bed, Proc, Record, now_ms, wait_until};
use crate::flow::Flow;

const DEADLINE: Duration = Duration::from_secs(120);
/// What `user:secret` is in a header.
const CREDENTIALS: &str = "Basic dXNlcjpzZWNyZXQ=";

/// A registry.
struct Registry {
    url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The answer to everything, unless it is well.
    ill: Option<(StatusCode, &'static str)>,
    schemas: BTreeMap<u32, Value>,
    asked: usize,
}

impl Registry {
    fn start(bed: &Bed, ill: (StatusCode, &'static str)) -> Self {
        let state = Arc::new(Mutex::new(State {
            ill: Some(ill),
            ..State::default()
        }));
        let told = Arc::clone(&state);
        let answer = async move |Path(id): Path<u32>, headers: HeaderMap| {
            let mut state = told.lock().unwrap();
            state.asked += 1;
            if headers.get("authorization").is_none_or(|given| given != CREDENTIALS) {
                return (StatusCode::UNAUTHORIZED, Json(Value::Null));
            }
            match (state.ill, state.schemas.get(&id)) {
                (Some((status, said)), _) => (status, Json(json!(said))),
                (None, Some(schema)) => (StatusCode::OK, Json(schema.clone())),
                (None, None) => (
                    StatusCode::NOT_FOUND,
                    Json(json!({"error_code": 40403, "message": "not found"})),
                ),
            }
        };
        let url = bed.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/api/", listener.local_addr().unwrap());
            let routes = Router::new().route("/api/schemas/ids/{id}", get(answer));
            tokio::spawn(async move { axum::serve(listener, routes).await });
            url
        });
        Self { url, state }
    }

    fn falls_ill(&self, ill: Option<(StatusCode, &'static str)>) {
        self.state.lock().unwrap().ill = ill;
    }

    fn register(&self, id: u32, schema: Value) {
        self.state.lock().unwrap().schemas.insert(id, schema);
    }

    /// Waits until it has been asked several times more.
    fn is_asked(&self) {
        let asked = || self.state.lock().unwrap().asked;
        let before = asked();
        wait_until(DEADLINE, "the registry is asked again", || asked() >= before + 4);
    }

    fn environment(&self, stage: &str) -> [(String, String); 3] {
        let setting = |key: &str| format!("HOROLOG_{}__SCHEMA_REGISTRY__{key}", stage.to_uppercase());
        [
            (setting("URL"), self.url.clone()),
            (setting("USER"), "user".to_owned()),
            (setting("PASSWORD"), "secret".to_owned()),
        ]
    }

    fn stages(&self, flow: &Flow<'_>) -> [Proc; 2] {
        let [ingest, aggregate] = ["ingest", "aggregate"].map(|stage| self.environment(stage));
        [flow.ingest(&borrowed(&ingest)), flow.aggregate(&borrowed(&aggregate))]
    }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The current schema with a field more, as a service that is a release ahead has it.
fn newer_schema() -> Value {
    let mut schema: Value = serde_json::from_str(Kind::MetricSample.avro_schema()).unwrap();
    let field = json!({"name": "trace_id", "type": "string", "default": ""});
    schema["fields"].as_array_mut().unwrap().push(field);
    json!({"schema": schema.to_string()})
}

/// Records of the flow in Confluent's framing with this id; `rest` is what the newer schema has behind the current one.
fn framed(flow: &Flow<'_>, id: u32, numbers: std::ops::Range<u64>, rest: &[u8]) -> Vec<Record> {
    let framed = |number| {
        let record = flow.sample(number, now_ms());
        let datum = &record.payload.as_ref().unwrap()[10..];
        Record::of([&[0][..], &id.to_be_bytes(), datum, rest].concat())
    };
    numbers.map(framed).collect()
}

#[test]
fn records_wait_for_a_registry_that_is_away_and_only_those_that_it_does_not_know_are_rejected() {
    let flow = Flow::new(Bed::shared(), "registered", 2);
    let registry = Registry::start(flow.bed, (StatusCode::SERVICE_UNAVAILABLE, "away"));
    registry.register(7, newer_schema());
    registry.register(9, json!({"schema": "syntax = \"proto3\";", "schemaType": "PROTOBUF"}));
    registry.register(
        10,
        json!({"schema": newer_schema()["schema"], "references": [{"name": "n", "subject": "s", "version": 1}]}),
    );
    let mut stages = registry.stages(&flow);

    // Records of two writers in turn, as while services are upgraded.
    let of_both = framed(&flow, 7, 0..40, b"\x06abc")
        .into_iter()
        .zip((80..120).map(|number| flow.sample(number, now_ms())));
    let of_both: Vec<Record> = of_both.flat_map(|(newer, current)| [newer, current]).collect();
    flow.bed.produce(&flow.topic, 0, &of_both);
    let unknown = [8, 9, 10]
        .into_iter()
        .flat_map(|id| framed(&flow, id, 40..50, b"\x06abc"));
    flow.bed.produce(&flow.topic, 0, &unknown.collect::<Vec<_>>());
    let known: Vec<Record> = (70..80).map(|number| flow.sample(number, now_ms())).collect();
    flow.bed.produce(&flow.topic, 1, &known);
    flow.count_sent(120);
    flow.wait_until_records("ingest", &flow.topic, 10);
    for stage in &stages {
        wait_until(DEADLINE, "the stage says what it waits for", || {
            let ready = flow.bed.try_get(&format!("{}/readyz", stage.http()));
            ready.is_ok_and(|(_, said)| said.contains("schema registry") && said.contains("503"))
        });
    }
    // Neither a death nor the answer of something that is no registry has anything rejected.
    stages[0].restart();
    registry.falls_ill(Some((StatusCode::NOT_FOUND, "no such page")));
    registry.is_asked();
    assert_eq!(
        (flow.ledger_records("ingest"), flow.ledger_records("aggregate")),
        (10, 10)
    );

    registry.falls_ill(None);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let rejected: Vec<(String, String, u64)> = flow.bed.sql(&format!(
        "select reason, detail, count() from rejected_records where kafka_topic = '{}' group by all order by detail",
        flow.topic
    ));
    let counted: Vec<_> = rejected
        .iter()
        .map(|(reason, _, records)| (reason.as_str(), *records))
        .collect();
    assert_eq!(
        counted,
        [
            ("incompatible_schema", 10),
            ("unknown_schema", 10),
            ("incompatible_schema", 10)
        ],
        "{rejected:?}"
    );
    assert!(
        rejected[0].1.contains("refers to other schemas") && rejected[2].1.contains("PROTOBUF"),
        "{rejected:?}"
    );

    // Once it is registered, what was rejected can be sent again.
    registry.register(8, newer_schema());
    stages.iter_mut().for_each(Proc::restart);
    let environment = registry.environment("ingest");
    let mut environment = borrowed(&environment);
    environment.push(("HOROLOG_INGEST__SOURCE__METRICS_TOPIC", &flow.topic));
    let arguments = ["replay-rejected", "--topic", &flow.topic, "--reason", "unknown_schema"];
    let mut command = flow.bed.spawn_command("horolog-ingest", &arguments, &environment);
    assert!(command.wait(DEADLINE).success(), "{}", command.log_tail());
    assert!(
        command.log_tail().contains("replayed 10 records"),
        "{}",
        command.log_tail()
    );
    flow.count_sent(10);
    flow.wait_until_stored();
    flow.assert_exactly_once();
    let stored: u64 = flow.bed.one(&format!(
        "select count() from metrics where kafka_topic = '{}'",
        flow.topic
    ));
    assert_eq!(stored, 100);
}

#[test]
fn a_registry_that_refuses_its_user_is_named() {
    let flow = Flow::new(Bed::shared(), "unregistered", 1);
    let registry = Registry::start(flow.bed, (StatusCode::OK, ""));
    let mut environment = registry.environment("ingest");
    environment[2].1 = "wrong".to_owned();
    flow.bed.produce(&flow.topic, 0, &framed(&flow, 7, 0..1, b""));
    let ingest = flow.ingest(&borrowed(&environment));
    wait_until(DEADLINE, "it says what to change", || {
        let ready = flow.bed.try_get(&format!("{}/readyz", ingest.http()));
        ready.is_ok_and(|(_, said)| said.contains("schema_registry.user"))
    });
    assert_eq!(flow.ledger_records("ingest"), 0);
}
