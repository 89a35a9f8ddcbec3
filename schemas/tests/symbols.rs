//! The symbols of an enum are the same, in the same order, in the Avro schema, the Rust type and every table.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use horolog_schemas::migrate::MIGRATIONS;
use horolog_schemas::{AuditSource, AuditStatus, Kind, MetricType};
use serde_json::{Value, json};

/// The symbols of a field in its kind's schema.
fn symbols(kind: Kind, field: &str) -> Value {
    let schema: Value = serde_json::from_str(kind.avro_schema()).unwrap();
    let fields = schema["fields"].as_array().unwrap();
    let field = fields.iter().find(|described| described["name"] == field).unwrap();
    field["type"]["symbols"].clone()
}

/// How tables declare the column: numbered from 1.
fn column(name: &str, symbols: &[&str]) -> String {
    let numbered = (1..)
        .zip(symbols)
        .map(|(number, symbol)| format!("'{symbol}' = {number}"));
    format!(" {name} Enum8({})", numbered.collect::<Vec<_>>().join(", "))
}

#[test]
fn schema_type_and_tables_agree() {
    let metric_types = MetricType::ALL.map(MetricType::as_str);
    let (sources, statuses) = (
        AuditSource::ALL.map(AuditSource::as_str),
        AuditStatus::ALL.map(AuditStatus::as_str),
    );
    assert_eq!(symbols(Kind::MetricSample, "metric_type"), json!(metric_types));
    assert_eq!(symbols(Kind::AuditEvent, "source"), json!(sources));
    assert_eq!(symbols(Kind::AuditEvent, "status"), json!(statuses));
    assert_eq!(json!(MetricType::ALL), json!(metric_types));
    assert_eq!(json!(AuditSource::ALL), json!(sources));
    assert_eq!(json!(AuditStatus::ALL), json!(statuses));

    let up = |object: &str| {
        let made = MIGRATIONS
            .iter()
            .find(|migration| migration.object() == object)
            .unwrap();
        made.up().join(" ")
    };
    for table in [
        "metrics",
        "metrics_hourly",
        "daily_rollups",
        "hourly_totals",
        "daily_totals",
    ] {
        assert!(up(table).contains(&column("metric_type", &metric_types)), "{table}");
    }
    assert!(up("audit_logs").contains(&column("source", &sources)));
    assert!(up("audit_logs").contains(&column("status", &statuses)));
}

/// A producer writes the index of a symbol.
#[test]
fn a_symbol_is_written_as_its_position() {
    assert!(
        MetricType::ALL
            .iter()
            .enumerate()
            .all(|(at, symbol)| *symbol as usize == at)
    );
    assert!(
        AuditSource::ALL
            .iter()
            .enumerate()
            .all(|(at, symbol)| *symbol as usize == at)
    );
    assert!(
        AuditStatus::ALL
            .iter()
            .enumerate()
            .all(|(at, symbol)| *symbol as usize == at)
    );
}
