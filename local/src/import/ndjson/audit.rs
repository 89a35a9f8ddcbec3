//! An audit event as JSON.
//!
//! Enters: an object with the fields of the Avro schema, and the flags. Leaves: an event. One whose event_id is missing or
//! no UUID gets one derived from the object, and keeps its own as metadata `event_id`, or `event_id_of_source` if it has
//! an `event_id` there. Pure.

use std::collections::BTreeMap;

use horolog_schemas::{AuditEvent, AuditSource, AuditStatus};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{or_empty, or_flag, texts, with_place};
use crate::import::event_id;
use crate::import::json_fields::{Text, read};
use crate::import::json_text::{embedded_document, text};
use crate::import::mapping::Mapping;
use crate::import::output::Skip;
use crate::import::timestamp::time_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a JSON object")]
struct AuditLine<'a> {
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    tenant_id: Option<Text>,
    occurred_at: Option<&'a RawValue>,
    user_id: Option<Text>,
    team_id: Option<Text>,
    service_id: Option<Text>,
    plugin_id: Option<Text>,
    source: Option<AuditSource>,
    action: Option<Text>,
    resource_type: Option<Text>,
    resource_id: Option<Text>,
    resource_name: Option<Text>,
    old_value: Option<&'a RawValue>,
    new_value: Option<&'a RawValue>,
    ip_address: Option<Text>,
    user_agent: Option<Text>,
    session_id: Option<Text>,
    request_id: Option<Text>,
    status: Option<AuditStatus>,
    error_message: Option<Text>,
    metadata: Option<BTreeMap<String, &'a RawValue>>,
}

/// Reads one event.
pub(super) fn event(json: &str, mapping: &Mapping) -> Result<AuditEvent, Skip> {
    let line: AuditLine<'_> = read(json).map_err(|skip| with_place(skip, "metadata"))?;
    let mut metadata = texts(line.metadata);
    let mut event_id = text(line.event_id);
    if Uuid::parse_str(&event_id).is_err() {
        let own = std::mem::replace(&mut event_id, event_id::derive(json)?.to_string());
        if !own.is_empty() {
            let has_one = metadata.contains_key("event_id");
            let name = if has_one { "event_id_of_source" } else { "event_id" };
            metadata.insert(name.to_owned(), own);
        }
    }
    Ok(AuditEvent {
        event_id,
        tenant_id: or_flag(line.tenant_id, Some(&mapping.tenant)),
        occurred_at: time_of("occurred_at", &text(line.occurred_at), &mapping.times)?,
        user_id: or_empty(line.user_id),
        team_id: or_empty(line.team_id),
        service_id: or_flag(line.service_id, mapping.service.as_ref()),
        plugin_id: or_empty(line.plugin_id),
        source: line.source.unwrap_or_default(),
        action: line.action.ok_or_else(|| Skip::missing("action"))?.into(),
        resource_type: or_empty(line.resource_type),
        resource_id: or_empty(line.resource_id),
        resource_name: or_empty(line.resource_name),
        // JSON as such, or within a string as in the schema. Other text becomes a JSON string, since only JSON is
        // stored.
        old_value: embedded_document(line.old_value),
        new_value: embedded_document(line.new_value),
        ip_address: or_empty(line.ip_address),
        user_agent: or_empty(line.user_agent),
        session_id: or_empty(line.session_id),
        request_id: or_empty(line.request_id),
        status: line.status.unwrap_or_default(),
        error_message: or_empty(line.error_message),
        metadata,
    })
}
