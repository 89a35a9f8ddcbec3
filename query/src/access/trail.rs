//! Every access to audit data is an audit event itself, and goes the way of all others: Kafka, ingest, `audit_logs`.
//!
//! Enters: who asked what, and how it ended. Leaves: an event that all in-sync replicas have, or an error. Guarantees: no answer
//! with audit data leaves before its event is acknowledged; while Kafka does not take events, audit data are not shown at all,
//! because nobody could tell later who saw them. Does not feed itself: an answer makes one event, however many it shows.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use horolog_schemas::{AuditEvent, AuditSource, AuditStatus};
use horolog_stage::config::KafkaConfig;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{FutureProducer, FutureRecord};
use uuid::Uuid;

use crate::access::{Principal, TenantId};
use crate::api::{Problem, RequestId};

/// What reports these events.
const SERVICE: &str = "horolog-query";
/// An event that is not acknowledged by then has failed: longer than a starved machine takes, or a broker that just began. Milliseconds.
const ACKNOWLEDGED_WITHIN_MS: &str = "15000";

/// Writes events.
#[derive(Clone)]
pub struct Trail {
    producer: FutureProducer,
    topic: Arc<str>,
}

/// Something that somebody did.
#[derive(Debug, Clone)]
pub struct Act {
    /// Whose data it was about.
    pub tenant: TenantId,
    /// What was done, such as `audit.read`.
    pub action: &'static str,
    /// The kind of thing it was done to.
    pub resource_type: &'static str,
    /// The thing it was done to.
    pub resource_id: String,
    /// How it ended.
    pub status: AuditStatus,
    /// Why it did not succeed.
    pub error: String,
    /// Further facts: the filter, the rows.
    pub facts: BTreeMap<String, String>,
}

impl Act {
    /// What succeeds.
    pub fn done(
        tenant: TenantId,
        action: &'static str,
        (resource_type, resource_id): (&'static str, String),
        facts: BTreeMap<String, String>,
    ) -> Self {
        Self {
            tenant,
            action,
            resource_type,
            resource_id,
            status: AuditStatus::Success,
            error: String::new(),
            facts,
        }
    }
}

/// Says of a response that its handler has recorded what it did, before it did it. Any other is recorded by
/// [`crate::access::authenticate`] before it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Recorded;

/// Who did it, and how the request came.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who; `None` for somebody who was not let in.
    pub principal: Option<Principal>,
    /// From where.
    pub from: Option<IpAddr>,
    /// With what program.
    pub user_agent: String,
    /// The request.
    pub request: RequestId,
}

impl Trail {
    /// To a topic of audit events. Does not connect.
    pub fn new(kafka: &KafkaConfig, topic: &str) -> KafkaResult<Self> {
        let mut config = kafka.client_config();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.timeout.ms", ACKNOWLEDGED_WITHIN_MS);
        Ok(Self {
            producer: config.create()?,
            topic: topic.into(),
        })
    }

    /// Writes one event; returns when it is acknowledged.
    pub async fn record(&self, actor: &Actor, act: Act) -> Result<(), Problem> {
        let event = event(actor, act);
        let mut payload = Vec::new();
        event.encode_single_object(&mut payload);
        let key = event.key();
        let record = FutureRecord::to(&self.topic).key(&key).payload(&payload);
        match self.producer.send(record, Duration::ZERO).await {
            Ok(_) => Ok(()),
            Err((error, _)) => {
                tracing::warn!(%error, action = event.action, "an access could not be recorded");
                Err(Problem::LogUnavailable)
            }
        }
    }
}

fn event(actor: &Actor, act: Act) -> AuditEvent {
    let principal = actor.principal.as_ref().map(Principal::facts);
    let mut metadata = act.facts;
    // Whoever runs the service has no key, and is named among the facts.
    let operator = metadata.get("caller").cloned().unwrap_or_default();
    if let Some(facts) = principal {
        metadata.insert("caller".to_owned(), facts.name.clone());
        metadata.insert("role".to_owned(), facts.role.to_string());
    }
    AuditEvent {
        event_id: Uuid::new_v4().to_string(),
        tenant_id: act.tenant.into(),
        occurred_at: Utc::now().timestamp_micros(),
        user_id: principal.map_or(operator, |facts| facts.identity.to_string()),
        service_id: SERVICE.to_owned(),
        source: AuditSource::Api,
        action: act.action.to_owned(),
        resource_type: act.resource_type.to_owned(),
        resource_id: act.resource_id,
        ip_address: actor.from.map_or_else(String::new, |from| from.to_string()),
        user_agent: actor.user_agent.clone(),
        request_id: actor.request.to_string(),
        status: act.status,
        error_message: act.error,
        metadata,
        ..AuditEvent::default()
    }
}
