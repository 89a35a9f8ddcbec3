//! An audit event as a producer creates it, and its encoding with the current schema.
//!
//! In: owned values. Out: a Kafka key and a payload in either framing. Does not validate: a record that breaks a rule
//! can be sent, and will be rejected with a reason.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::avro_writer::{confluent_header, long, map, single_object_header, text};

/// Rabin fingerprint of `avro/audit_event.avsc`. When a schema change alters it, move the old schema to
/// `avro/history/`.
pub(crate) const FINGERPRINT: u64 = 0xfc5b_4727_6e95_cdcf;

/// Where an action came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditSource {
    /// A person at a user interface.
    Ui,
    /// A call of the API.
    #[default]
    Api,
    /// The system itself.
    System,
    /// A call from another system.
    Webhook,
}

impl AuditSource {
    /// All, in the order of the schema's symbols.
    pub const ALL: [Self; 4] = [Self::Ui, Self::Api, Self::System, Self::Webhook];

    /// Its symbol in the schema and in the tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ui => "ui",
            Self::Api => "api",
            Self::System => "system",
            Self::Webhook => "webhook",
        }
    }
}

/// How an action ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditStatus {
    /// Done.
    #[default]
    Success,
    /// Denied.
    Failure,
    /// Attempted, but failed.
    Error,
}

impl AuditStatus {
    /// All, in the order of the schema's symbols.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Error];

    /// Its symbol in the schema and in the tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// Who did what to which resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// UUID of the event, in text form.
    pub event_id: String,
    /// The tenant that the event belongs to; never empty.
    pub tenant_id: String,
    /// When it happened, microseconds since 1970, UTC.
    pub occurred_at: i64,
    /// Who did it.
    #[serde(default)]
    pub user_id: String,
    /// The team of the user.
    #[serde(default)]
    pub team_id: String,
    /// The service that reports it.
    #[serde(default)]
    pub service_id: String,
    /// The plugin inside the service.
    #[serde(default)]
    pub plugin_id: String,
    /// Where the action came from.
    pub source: AuditSource,
    /// What was done; never empty.
    pub action: String,
    /// The type of the resource.
    #[serde(default)]
    pub resource_type: String,
    /// The resource that the action was applied to.
    #[serde(default)]
    pub resource_id: String,
    /// The name of the resource at that time.
    #[serde(default)]
    pub resource_name: String,
    /// JSON before the action; empty if there is none.
    #[serde(default)]
    pub old_value: String,
    /// JSON after the action; empty if there is none.
    #[serde(default)]
    pub new_value: String,
    /// Address or host name of the caller.
    #[serde(default)]
    pub ip_address: String,
    /// The caller's program.
    #[serde(default)]
    pub user_agent: String,
    /// The caller's session or access key id.
    #[serde(default)]
    pub session_id: String,
    /// Correlates the events of one request.
    #[serde(default)]
    pub request_id: String,
    /// How it ended.
    pub status: AuditStatus,
    /// Why it did not succeed.
    #[serde(default)]
    pub error_message: String,
    /// Additional key-value pairs.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
}

impl AuditEvent {
    /// The Kafka key: one per resource, so that its events keep their order.
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.tenant_id, self.resource_type, self.resource_id)
    }

    /// Appends the payload in Avro's single-object encoding.
    pub fn encode_single_object(&self, out: &mut Vec<u8>) {
        single_object_header(FINGERPRINT, out);
        self.encode_datum(out);
    }

    /// Appends the payload in Confluent's framing; `id` is the schema registry's id of the current schema.
    pub fn encode_confluent(&self, id: u32, out: &mut Vec<u8>) {
        confluent_header(id, out);
        self.encode_datum(out);
    }

    /// The fields in the order of the schema.
    fn encode_datum(&self, out: &mut Vec<u8>) {
        text(&self.event_id, out);
        text(&self.tenant_id, out);
        long(self.occurred_at, out);
        text(&self.user_id, out);
        text(&self.team_id, out);
        text(&self.service_id, out);
        text(&self.plugin_id, out);
        long(self.source as i64, out);
        text(&self.action, out);
        text(&self.resource_type, out);
        text(&self.resource_id, out);
        text(&self.resource_name, out);
        text(&self.old_value, out);
        text(&self.new_value, out);
        text(&self.ip_address, out);
        text(&self.user_agent, out);
        text(&self.session_id, out);
        text(&self.request_id, out);
        long(self.status as i64, out);
        text(&self.error_message, out);
        map(&self.metadata, out);
    }
}
