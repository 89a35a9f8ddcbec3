//! Every access to audit data is itself an audit event and takes the same path as all others: Kafka, ingest,
//! `audit_logs`.
//!
//! Enters: who asked for what, and the outcome. Leaves: an event that all in-sync replicas have, or an error.
//! Guarantees: no answer with audit data leaves before its event is acknowledged; while Kafka does not accept events,
//! no audit data is shown, because nobody could tell later who saw it. No feedback loop: an answer creates one event,
//! however many it shows.

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

/// The service that reports these events.
const SERVICE: &str = "horolog-query";
/// An event not acknowledged in this time has failed. Generous enough for a starved machine or a broker that just
/// started. Milliseconds.
const ACKNOWLEDGED_WITHIN_MS: &str = "15000";

/// Writes events.
#[derive(Clone)]
pub struct Trail {
    producer: FutureProducer,
    topic: Arc<str>,
}

/// An action to record.
#[derive(Debug, Clone)]
pub struct Act {
    /// The tenant whose data it was about.
    pub tenant: TenantId,
    /// What was done, such as `audit.read`.
    pub action: &'static str,
    /// The type of the resource.
    pub resource_type: &'static str,
    /// The resource that the action was applied to.
    pub resource_id: String,
    /// The outcome.
    pub status: AuditStatus,
    /// Why it did not succeed.
    pub error: String,
    /// Additional facts: the filter, the number of rows.
    pub facts: BTreeMap<String, String>,
}

impl Act {
    /// A successful action.
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

/// Marks a response whose handler has already recorded the action, before performing it. All others are recorded by
/// [`crate::access::authenticate`] before they leave.
#[derive(Debug, Clone, Copy)]
pub struct Recorded;

/// Who acted, and how the request came.
#[derive(Debug, Clone)]
pub struct Actor {
    /// `None` for a caller that was not authenticated.
    pub principal: Option<Principal>,
    /// Address of the client.
    pub from: Option<IpAddr>,
    /// User agent of the client.
    pub user_agent: String,
    /// Id of the request.
    pub request: RequestId,
}

impl Trail {
    /// For a topic of audit events. Does not connect.
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

    /// Writes one event; returns once it is acknowledged.
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
    // The operator has no key, and is named among the facts.
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
