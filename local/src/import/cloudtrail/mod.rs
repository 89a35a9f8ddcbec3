//! AWS CloudTrail events to audit events.
//!
//! Enters: the JSON of one event. Leaves: one audit event, with CloudTrail's own event id where it is a UUID, else one
//! derived from the event. `requestParameters` becomes the new value, and fields without a column become metadata under
//! their own names, both byte for byte. Fields of unexpected types become text; only JSON that is no event, or has no
//! time, is skipped.

mod event;
mod outcome;

use std::collections::BTreeMap;

use horolog_schemas::AuditEvent;
use serde_json::value::RawValue;
use uuid::Uuid;

use self::event::{Event, Identity};
use self::outcome::{source, status};
use super::event_id;
use super::json_fields::read;
use super::json_text::{document, first_not_empty, text};
use super::mapping::Mapping;
use super::output::Skip;
use super::timestamp::time_of;

/// Fields that are in columns, or in metadata under our own names. Not among them is `userIdentity`, of which a column
/// has only the name.
const IN_COLUMNS: [&str; 14] = [
    "awsRegion",
    "errorCode",
    "errorMessage",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "eventType",
    "readOnly",
    "recipientAccountId",
    "requestID",
    "requestParameters",
    "sourceIPAddress",
    "userAgent",
];

/// Reads one event.
pub fn audit_event(json: &str, mapping: &Mapping) -> Result<AuditEvent, Skip> {
    let event: Event<'_> = read(json)?;
    if event.looked_up.is_some() {
        return audit_event(&text(event.looked_up), mapping);
    }
    if event.event_name.is_none() {
        return Err(Skip::missing("eventName"));
    }
    let (time_field, time) = event.time();
    let occurred_at = time_of(time_field, &time, &mapping.times)?;
    let event_source = text(event.event_source);
    let aws_service = event_source.split('.').next().unwrap_or_default();
    let resource = event.resource.as_ref();
    let identity = event.user_identity.as_ref();
    Ok(AuditEvent {
        event_id: id(&event, json)?,
        tenant_id: mapping.tenant.clone(),
        occurred_at,
        user_id: identity.map(Identity::user).unwrap_or_default(),
        team_id: String::new(),
        service_id: mapping.service.clone().unwrap_or_else(|| aws_service.to_owned()),
        plugin_id: String::new(),
        source: source(&event),
        action: action(aws_service, &text(event.event_name)),
        resource_type: first_not_empty([text(resource.and_then(|r| r.kind)), aws_service.to_owned()]),
        resource_id: text(resource.and_then(|r| r.arn)),
        resource_name: String::new(),
        old_value: String::new(),
        new_value: document(event.request_parameters),
        ip_address: text(event.source_ip_address),
        user_agent: text(event.user_agent),
        session_id: text(identity.and_then(|identity| identity.access_key_id)),
        request_id: text(event.request_id),
        status: status(&event),
        error_message: text(event.error_message),
        metadata: metadata(&event, json)?,
    })
}

fn action(aws_service: &str, event_name: &str) -> String {
    if aws_service.is_empty() {
        event_name.to_owned()
    } else {
        format!("{aws_service}:{event_name}")
    }
}

/// CloudTrail's id where it is a UUID, as it always is in AWS' own files.
fn id(event: &Event<'_>, json: &str) -> Result<String, Skip> {
    if let Ok(id) = Uuid::parse_str(&text(event.event_id)) {
        return Ok(id.to_string());
    }
    Ok(event_id::derive(json)?.to_string())
}

fn metadata(event: &Event<'_>, json: &str) -> Result<BTreeMap<String, String>, Skip> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json)?;
    let others = (fields.iter())
        .filter(|(name, _)| !IN_COLUMNS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), text(Some(value))));
    let ours = [
        ("aws_region", event.aws_region),
        ("error_code", event.error_code),
        ("event_type", event.event_type),
        ("read_only", event.read_only),
        ("recipient_account_id", event.recipient_account_id),
    ]
    .map(|(name, value)| (name.to_owned(), text(value)));
    Ok(others.chain(ours).filter(|(_, value)| !value.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use horolog_schemas::{AuditSource, AuditStatus};
    use proptest::prelude::*;

    use super::*;
    use crate::import::testing::mapping;

    const EVENT: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDA1","arn":"arn:aws:iam::1:user/ann",
        "accountId":"1","accessKeyId":"AKIA1","userName":"ann"},"eventTime":"2023-07-10T11:42:44Z","eventSource":"s3.amazonaws.com",
        "eventName":"PutBucketPolicy","awsRegion":"us-east-1","sourceIPAddress":"AWS Internal","userAgent":"aws-cli/2",
        "requestParameters":{"b": 1.50, "a":"ü"},"responseElements":null,"requestID":"R1","readOnly":false,
        "eventID":"3C856BC0-1a07-4c18-89d9-4d9205856714","eventType":"AwsApiCall",
        "resources":[{"accountId":"1","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::b"},{"ARN":"other"}]}"#;

    fn read(json: &str) -> AuditEvent {
        audit_event(json, &mapping(&[])).unwrap()
    }

    #[test]
    fn maps_an_event_field_by_field() {
        let event = read(EVENT);
        assert_eq!(event.event_id, "3c856bc0-1a07-4c18-89d9-4d9205856714");
        assert_eq!(
            (event.tenant_id.as_str(), event.occurred_at),
            ("demo", 1_688_989_364_000_000)
        );
        assert_eq!(
            (event.user_id.as_str(), event.session_id.as_str()),
            ("arn:aws:iam::1:user/ann", "AKIA1")
        );
        assert_eq!(
            (event.action.as_str(), event.service_id.as_str()),
            ("s3:PutBucketPolicy", "s3")
        );
        assert_eq!(
            (event.resource_type.as_str(), event.resource_id.as_str()),
            ("AWS::S3::Bucket", "arn:aws:s3:::b")
        );
        assert_eq!(
            (event.old_value.as_str(), event.new_value.as_str()),
            ("", r#"{"b": 1.50, "a":"ü"}"#)
        );
        assert_eq!(
            (event.ip_address.as_str(), event.user_agent.as_str()),
            ("AWS Internal", "aws-cli/2")
        );
        assert_eq!(
            (event.request_id.as_str(), event.source, event.status),
            ("R1", AuditSource::Api, AuditStatus::Success)
        );
        let names: Vec<_> = event.metadata.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "aws_region",
                "eventVersion",
                "event_type",
                "read_only",
                "resources",
                "userIdentity"
            ]
        );
        assert_eq!(event.metadata["aws_region"], "us-east-1");
        assert!(event.metadata["userIdentity"].ends_with(r#""accountId":"1","accessKeyId":"AKIA1","userName":"ann"}"#));
        assert!(event.metadata["resources"].contains(r#"{"ARN":"other"}"#));
    }

    /// A minimal event with these fields added.
    fn event(fields: &str) -> AuditEvent {
        read(&format!(
            r#"{{"eventTime":"2023-07-10T11:42:44Z","eventName":"N","eventSource":"ec2.amazonaws.com"{fields}}}"#
        ))
    }

    #[test]
    fn the_user_is_the_most_telling_name() {
        for (identity, user) in [
            (r#"{"type":"Root","accountId":"7"}"#, "7"),
            (
                r#"{"type":"AWSService","invokedBy":"rds.amazonaws.com"}"#,
                "rds.amazonaws.com",
            ),
            (r#"{"arn":"","userName":"ann","principalId":"P"}"#, "ann"),
            (r#"{"principalId":"P","accountId":7}"#, "P"),
            (r#"{"type":"Unknown"}"#, "Unknown"),
            ("null", ""),
        ] {
            assert_eq!(
                event(&format!(r#","userIdentity":{identity}"#)).user_id,
                user,
                "{identity}"
            );
        }
    }

    #[test]
    fn a_renamed_time_is_taken_where_there_is_no_other() {
        let time = |times: &str| read(&format!(r#"{{"eventName":"N",{times}}}"#)).occurred_at;
        assert_eq!(time(r#""@timestamp":"1970-01-01T00:00:01Z""#), 1_000_000);
        assert_eq!(
            time(r#""@timestamp":"1970-01-01T00:00:01Z","eventTime":"1970-01-01T00:00:02Z""#),
            2_000_000
        );
    }

    #[test]
    fn an_event_as_the_command_of_aws_prints_it_is_the_one_within() {
        let looked_up = serde_json::json!({"EventId": "1", "EventTime": "t", "CloudTrailEvent": EVENT});
        assert_eq!(read(&looked_up.to_string()), read(EVENT));
    }

    #[test]
    fn without_a_resource_its_type_is_the_service() {
        assert_eq!(
            (event("").resource_type.as_str(), event("").resource_id.as_str()),
            ("ec2", "")
        );
        assert_eq!(event(r#","resources":[{"ARNPrefix":"arn:x"}]"#).resource_type, "ec2");
    }

    #[test]
    fn a_resource_or_a_user_that_is_no_object_is_taken_for_its_name() {
        let resource = |resources: &str| {
            let event = event(&format!(r#","resources":{resources}"#));
            (event.resource_type, event.resource_id)
        };
        let of = |kind: &str, arn: &str| (kind.to_owned(), arn.to_owned());
        assert_eq!(resource(r#"["arn:a",{"ARN":"arn:b"}]"#), of("ec2", "arn:a"));
        assert_eq!(resource(r#"[null,"",{"type":"T","ARN":"arn:b"}]"#), of("T", "arn:b"));
        assert_eq!(resource(r#"{"type":"T","ARN":"arn:b"}"#), of("T", "arn:b"));
        assert_eq!(resource(r#""arn:a""#), of("ec2", "arn:a"));
        assert_eq!(resource("[]"), of("ec2", ""));
        let event = event(r#","userIdentity":"root","resources":["arn:a",{"ARN":"arn:b"}]"#);
        assert_eq!(event.user_id, "root");
        assert_eq!(
            event.metadata["resources"], r#"["arn:a",{"ARN":"arn:b"}]"#,
            "nothing is lost"
        );
    }

    #[test]
    fn an_id_that_is_missing_or_no_uuid_is_derived_and_the_same_again() {
        let derived = event("").event_id;
        assert_eq!(Uuid::parse_str(&derived).unwrap().get_version_num(), 5);
        assert_eq!(event("").event_id, derived);
        assert_ne!(event(r#","eventID":"77""#).event_id, derived);
    }

    #[test]
    fn what_is_no_event_is_skipped() {
        let skip = |json| audit_event(json, &mapping(&[])).unwrap_err();
        assert_eq!(
            skip(r#"{"eventTime":"2023-07-10T11:42:44Z"}"#),
            Skip::missing("eventName")
        );
        assert_eq!(skip(r#"{"eventName":"N"}"#), Skip::missing("eventTime"));
        let noon = skip(r#"{"eventName":"N","@timestamp":"noon"}"#).to_string();
        assert!(noon.starts_with("`noon` in `@timestamp` is not a time"), "{noon}");
        for json in ["", "{", "[]", "7"] {
            assert_eq!(skip(json).reason(), "malformed JSON", "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_and_any_changed_byte_of_an_event_is_read_or_skipped(at in 0..EVENT.len(), byte in 0u8..128) {
            let mut bytes = EVENT.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = std::str::from_utf8(&bytes).map(|json| audit_event(json, &mapping(&[])));
            let _ = std::str::from_utf8(&EVENT.as_bytes()[..at]).map(|json| audit_event(json, &mapping(&[])));
        }
    }
}
