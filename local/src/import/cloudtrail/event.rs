//! The fields of a CloudTrail event that are mapped, as they stand in its JSON; see AWS, "CloudTrail record contents".
//!
//! Enters: JSON, borrowed. Leaves: each field as raw JSON, so that no field's type can fail an event.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::import::json_text::{first_not_empty, text};

/// The fields of an event that are mapped; see AWS, "CloudTrail record contents".
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "a JSON object")]
pub(super) struct Event<'a> {
    #[serde(borrow)]
    pub(super) event_time: Option<&'a RawValue>,
    /// The same, where a collector has renamed it.
    #[serde(rename = "@timestamp")]
    pub(super) timestamp: Option<&'a RawValue>,
    pub(super) event_name: Option<&'a RawValue>,
    pub(super) event_source: Option<&'a RawValue>,
    pub(super) event_type: Option<&'a RawValue>,
    #[serde(rename = "eventID")]
    pub(super) event_id: Option<&'a RawValue>,
    #[serde(rename = "requestID")]
    pub(super) request_id: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "identity")]
    pub(super) user_identity: Option<Identity<'a>>,
    #[serde(rename = "sourceIPAddress")]
    pub(super) source_ip_address: Option<&'a RawValue>,
    pub(super) user_agent: Option<&'a RawValue>,
    pub(super) error_code: Option<&'a RawValue>,
    pub(super) error_message: Option<&'a RawValue>,
    pub(super) request_parameters: Option<&'a RawValue>,
    pub(super) response_elements: Option<&'a RawValue>,
    #[serde(default, rename = "resources", deserialize_with = "first_resource")]
    pub(super) resource: Option<Resource<'a>>,
    pub(super) session_credential_from_console: Option<&'a RawValue>,
    pub(super) aws_region: Option<&'a RawValue>,
    pub(super) recipient_account_id: Option<&'a RawValue>,
    pub(super) read_only: Option<&'a RawValue>,
    /// The event itself, in a string, where `aws cloudtrail lookup-events` prints it.
    #[serde(rename = "CloudTrailEvent")]
    pub(super) looked_up: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    pub(super) arn: Option<&'a RawValue>,
    pub(super) user_name: Option<&'a RawValue>,
    pub(super) principal_id: Option<&'a RawValue>,
    pub(super) invoked_by: Option<&'a RawValue>,
    pub(super) account_id: Option<&'a RawValue>,
    pub(super) access_key_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub(super) struct Resource<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(rename = "ARN")]
    pub(super) arn: Option<&'a RawValue>,
}

/// Some collectors write a name in place of the object.
fn identity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Identity<'de>>, D::Error> {
    let identity = Option::<&'de RawValue>::deserialize(deserializer)?;
    let named = |name| Identity {
        user_name: Some(name),
        ..Identity::default()
    };
    Ok(identity.map(|identity| serde_json::from_str(identity.get()).unwrap_or_else(|_| named(identity))))
}

/// The first of them that says anything. Some collectors write the ARN in place of the object, or one in place of many.
fn first_resource<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Resource<'de>>, D::Error> {
    let Some(resources) = Option::<&'de RawValue>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let all: Vec<&'de RawValue> = serde_json::from_str(resources.get()).unwrap_or_else(|_| vec![resources]);
    let first = all.into_iter().find(|resource| !text(Some(resource)).is_empty());
    let of_arn = |arn| Resource {
        kind: None,
        arn: Some(arn),
    };
    Ok(first.map(|resource| serde_json::from_str(resource.get()).unwrap_or_else(|_| of_arn(resource))))
}

impl Event<'_> {
    /// The field that has its time, and what it says.
    pub(super) fn time(&self) -> (&'static str, String) {
        match (text(self.event_time), text(self.timestamp)) {
            (own, renamed) if own.is_empty() && !renamed.is_empty() => ("@timestamp", renamed),
            (own, _) => ("eventTime", own),
        }
    }
}

impl Identity<'_> {
    /// The most specific name there is.
    pub(super) fn user(&self) -> String {
        let names = [
            self.arn,
            self.user_name,
            self.principal_id,
            self.invoked_by,
            self.account_id,
            self.kind,
        ];
        first_not_empty(names.map(text))
    }
}
