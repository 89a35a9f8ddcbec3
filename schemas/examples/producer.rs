//! How a Rust service sends its records to Horolog: `cargo run --example producer -- HOST:PORT [TENANT]`.
//!
//! Records are sent in Avro's single-object encoding; the key decides the partition and thereby the order. A service
//! never waits for Horolog: its part is done when Kafka acknowledges.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use horolog_schemas::{AuditEvent, AuditSource, AuditStatus, Kind, MetricSample, MetricType};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

/// How long Kafka may take to acknowledge a record.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bootstrap = arguments.next().context("usage: producer HOST:PORT [TENANT]")?;
    let tenant = arguments.next().unwrap_or_else(|| "demo".to_owned());
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        // Records that librdkafka resends after a lost response are stored once.
        .set("enable.idempotence", "true")
        // The partition that Java clients would choose.
        .set("partitioner", "murmur2_random")
        .set("message.timeout.ms", DEADLINE.as_millis().to_string())
        .create()?;

    let now_us = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let sample = MetricSample {
        tenant_id: tenant.clone(),
        time: now_us,
        metric_name: "http_request_duration".to_owned(),
        metric_type: MetricType::Histogram, // one observation of a distribution
        service_id: "checkout".to_owned(),
        environment: "production".to_owned(),
        value: 0.137,
        unit: "s".to_owned(),
        labels: [("route".to_owned(), "/pay".to_owned())].into(),
        ..MetricSample::default()
    };
    let event = AuditEvent {
        event_id: uuid::Uuid::new_v4().to_string(), // the same id again means the same event again
        tenant_id: tenant,
        occurred_at: now_us,
        user_id: "ada.nilsen".to_owned(),
        service_id: "checkout".to_owned(),
        source: AuditSource::Api,
        action: "voucher.create".to_owned(),
        resource_type: "voucher".to_owned(),
        resource_id: "SPRING-25".to_owned(),
        new_value: r#"{"percent": 25}"#.to_owned(),
        status: AuditStatus::Success,
        ..AuditEvent::default()
    };

    let mut payload = Vec::new();
    sample.encode_single_object(&mut payload);
    send(&producer, Kind::MetricSample, &sample.key(), &payload).await?;
    payload.clear();
    event.encode_single_object(&mut payload);
    send(&producer, Kind::AuditEvent, &event.key(), &payload).await
}

async fn send(producer: &FutureProducer, kind: Kind, key: &str, payload: &[u8]) -> anyhow::Result<()> {
    let topic = kind.default_topic();
    let sent = producer
        .send(FutureRecord::to(topic).key(key).payload(payload), DEADLINE)
        .await;
    let delivery = sent.map_err(|(error, _)| anyhow!("not delivered to {topic}: {error}"))?;
    println!(
        "sent to {topic}, partition {}, offset {}",
        delivery.partition, delivery.offset
    );
    Ok(())
}
