//! Events of the Windows event log to audit events.
//!
//! Enters: the flat JSON of one event, as NXLog and other collectors write it and Sentinel exports it. Leaves: one
//! audit event for each event of the channel `Security`, with an id derived from its JSON, since the log's own record
//! numbers start again when the log does. Fields without a column stay as metadata under their own names, except the
//! rendered `Message`, which repeats them.

use std::collections::BTreeMap;

use horolog_schemas::{AuditEvent, AuditSource, AuditStatus};
use serde_json::value::RawValue;

use super::event_id;
use super::json_fields::read;
use super::json_text::{first_not_empty, text};
use super::mapping::Mapping;
use super::output::{Skip, excerpt};
use super::timestamp::time_of;

/// The channel of the audit events, in lower case; the others (System, Sysmon, PowerShell) are operational logs.
const CHANNEL: &str = "security";

/// How Sentinel, which leaves the keywords out, marks a failure; see Microsoft, `EventLogEntryType.FailureAudit`.
const LEVEL_AUDIT_FAILURE: &str = "16";

/// `WINEVENT_KEYWORD_AUDIT_FAILURE`; see Microsoft, "Event Schema", `SystemPropertiesType`.
const AUDIT_FAILURE: u64 = 0x0010_0000_0000_0000;

/// The times of an event, the preferred one first. NXLog's own `EventTime` has no zone, so a time that another program
/// added is preferred.
const TIMES: [&str; 4] = ["TimeCreated", "TimeGenerated", "@timestamp", "EventTime"];

/// Fields that are elsewhere in the audit event or, like the message, are made of the others. So is the time that is
/// used.
const NOT_METADATA: [&str; 12] = [
    "@timestamp",
    "Channel",
    "EventID",
    "Hostname",
    "IpAddress",
    "Keywords",
    "Message",
    "ObjectName",
    "Status",
    "SubjectLogonId",
    "SubjectUserSid",
    "TimeCreated",
];

/// Reads one event.
pub fn audit_event(json: &str, mapping: &Mapping) -> Result<AuditEvent, Skip> {
    let fields: BTreeMap<String, &RawValue> = read(json)?;
    let field = |name: &str| text(fields.get(name).copied());
    let channel = field("Channel");
    if channel.is_empty() {
        return Err(Skip::missing("Channel"));
    }
    if channel.to_lowercase() != CHANNEL {
        return Err(Skip::OtherChannel {
            channel: excerpt(&channel),
        });
    }
    let event = field("EventID");
    if event.is_empty() {
        return Err(Skip::missing("EventID"));
    }
    let time = TIMES
        .into_iter()
        .find(|name| !field(name).is_empty())
        .unwrap_or(TIMES[0]);
    Ok(AuditEvent {
        event_id: event_id::derive(json)?.to_string(),
        tenant_id: mapping.tenant.clone(),
        occurred_at: time_of(time, &field(time), &mapping.times)?,
        user_id: first_not_empty(["SubjectUserSid", "TargetUserSid", "SubjectUserName"].map(field)),
        team_id: String::new(),
        service_id: (mapping.service.clone()).unwrap_or_else(|| first_not_empty(["Hostname", "Computer"].map(field))),
        plugin_id: String::new(),
        source: AuditSource::System,
        action: format!("event:{event}"),
        resource_type: "windows".to_owned(),
        resource_id: field("ObjectName"),
        // The account that an event is about can be found by its name.
        resource_name: field("TargetUserName"),
        old_value: String::new(),
        new_value: String::new(),
        ip_address: field("IpAddress"),
        user_agent: String::new(),
        session_id: field("SubjectLogonId"),
        request_id: String::new(),
        status: status(&field("Keywords"), &field("Level")),
        error_message: String::new(),
        metadata: metadata(&fields, time),
    })
}

/// Collectors write the 64 bits in hexadecimal, or as a number, which is negative if the highest bit is set.
fn status(keywords: &str, level: &str) -> AuditStatus {
    let bits = match keywords.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => (keywords.parse::<i64>().map(i64::cast_unsigned).ok()).or_else(|| keywords.parse().ok()),
    };
    match bits {
        Some(bits) if bits & AUDIT_FAILURE != 0 => AuditStatus::Failure,
        None if level == LEVEL_AUDIT_FAILURE => AuditStatus::Failure,
        _ => AuditStatus::Success,
    }
}

fn metadata(fields: &BTreeMap<String, &RawValue>, time: &str) -> BTreeMap<String, String> {
    let own = (fields.iter())
        .filter(|(name, _)| !NOT_METADATA.contains(&name.as_str()) && *name != time)
        .map(|(name, value)| (name.clone(), text(Some(value))));
    let error_code = ("error_code".to_owned(), text(fields.get("Status").copied()));
    own.chain([error_code]).filter(|(_, value)| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::import::testing::mapping;

    const EVENT: &str = r#"{"Channel":"Security","Keywords":"0x8010000000000000","Hostname":"pc","TimeCreated":"2022-08-18T06:55:58.983Z",
        "@timestamp":"2022-08-18T07:00:00Z","EventID":4656,"Message":"A handle\r\n\twas requested","SubjectUserSid":"S-1-5-18",
        "SubjectUserName":"PC$","SubjectLogonId":"0x3e7","TargetUserSid":"S-1-0-0","ObjectName":"C:\\secret","IpAddress":"-",
        "Status":"0xc000010b","AccessList":"%%4416\n\t","Empty":"","None":null}"#;

    fn read(json: &str, flags: &[&str]) -> AuditEvent {
        audit_event(json, &mapping(flags)).unwrap()
    }

    /// A minimal event with these fields added.
    fn event(fields: &str) -> Result<AuditEvent, Skip> {
        audit_event(&format!(r#"{{"Channel":"SECURITY",{fields}}}"#), &mapping(&[]))
    }

    #[test]
    fn maps_an_event_field_by_field() {
        let event = read(EVENT, &[]);
        assert_eq!(
            (event.tenant_id.as_str(), event.occurred_at),
            ("demo", 1_660_805_758_983_000)
        );
        assert_eq!(
            (event.user_id.as_str(), event.session_id.as_str()),
            ("S-1-5-18", "0x3e7")
        );
        assert_eq!((event.action.as_str(), event.service_id.as_str()), ("event:4656", "pc"));
        assert_eq!(
            (event.resource_type.as_str(), event.resource_id.as_str()),
            ("windows", "C:\\secret")
        );
        assert_eq!(
            (event.ip_address.as_str(), event.source, event.status),
            ("-", AuditSource::System, AuditStatus::Failure)
        );
        let metadata: Vec<_> = event.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            metadata,
            [
                ("AccessList", "%%4416\n\t"),
                ("SubjectUserName", "PC$"),
                ("TargetUserSid", "S-1-0-0"),
                ("error_code", "0xc000010b")
            ]
        );
        assert_eq!(Uuid::parse_str(&event.event_id).unwrap().get_version_num(), 5);
        assert_eq!(read(EVENT, &["--service", "dc"]).service_id, "dc");
    }

    #[test]
    fn the_user_is_the_subject_else_the_target() {
        let user =
            |fields: &str| event(&format!(r#""EventID":"1","TimeCreated":"2022-08-18",{fields}"#)).map(|e| e.user_id);
        assert_eq!(user(r#""TargetUserSid":"T","SubjectUserName":"N""#), Ok("T".to_owned()));
        assert_eq!(user(r#""SubjectUserName":"N""#), Ok("N".to_owned()));
        assert_eq!(user(r#""TargetUserName":"N""#), Ok(String::new()));
    }

    #[test]
    fn what_was_refused_is_told_by_a_bit_however_it_is_written() {
        for (keywords, status_of_it) in [
            ("0x8020000000000000", AuditStatus::Success),
            ("0x8010000000000000", AuditStatus::Failure),
            ("-9218868437227405312", AuditStatus::Failure),
            ("9227875636482146304", AuditStatus::Failure),
            ("-9214364837600034816", AuditStatus::Success),
            ("0x4020000000000000", AuditStatus::Success),
            ("", AuditStatus::Success),
        ] {
            assert_eq!(status(keywords, "0"), status_of_it, "{keywords}");
        }
        assert_eq!(status("", "16"), AuditStatus::Failure);
        assert_eq!(status("", "8"), AuditStatus::Success);
    }

    #[test]
    fn an_event_as_sentinel_exports_it() {
        let event = event(
            r#""EventID":4625,"Level":"16","TimeGenerated":"1970-01-01T00:00:01.0000000Z","Computer":"dc.example.com",
            "SourceSystem":"OpsManager","TargetUserSid":"S-1-0-0","ErrorCode":null"#,
        )
        .unwrap();
        assert_eq!(
            (event.occurred_at, event.service_id.as_str()),
            (1_000_000, "dc.example.com")
        );
        assert_eq!(
            (event.status, event.user_id.as_str()),
            (AuditStatus::Failure, "S-1-0-0")
        );
    }

    #[test]
    fn without_its_own_time_the_collectors_is_taken() {
        for times in [
            r#""@timestamp":"1970-01-01T00:00:01Z","EventTime":"1970-01-01 05:00:00""#,
            r#""EventTime":"1970-01-01 00:00:01","EventReceivedTime":"1970-01-01 00:00:02""#,
        ] {
            let taken = event(&format!(r#""EventID":1,{times}"#)).map(|event| event.occurred_at);
            assert_eq!(taken, Ok(1_000_000), "{times}");
        }
    }

    #[test]
    fn a_time_of_its_own_that_is_not_taken_stays_in_the_metadata() {
        let event =
            event(r#""EventID":1,"@timestamp":"1970-01-01T00:00:01Z","EventTime":"1970-01-01 05:00:00""#).unwrap();
        assert_eq!(event.metadata["EventTime"], "1970-01-01 05:00:00");
        assert_eq!(event.metadata.len(), 1);
    }

    #[test]
    fn an_account_that_an_event_is_about_can_be_found_by_its_name() {
        let event = event(r#""EventID":4720,"TimeCreated":"2022-08-18","TargetUserName":"backdoor""#).unwrap();
        assert_eq!(event.resource_name, "backdoor");
    }

    #[test]
    fn what_is_no_audit_event_is_skipped() {
        let skip = |json| audit_event(json, &mapping(&[])).unwrap_err();
        let other = skip(r#"{"Channel":"System","EventID":7,"TimeCreated":"2022-08-18"}"#);
        assert!(!other.is_malformed());
        assert_eq!(
            other.to_string(),
            "event from the channel `System`, which is not the audit trail"
        );
        assert_eq!(event(r#""TimeCreated":"2022-08-18""#), Err(Skip::missing("EventID")));
        assert_eq!(event(r#""EventID":1"#), Err(Skip::missing("TimeCreated")));
        let noon = event(r#""EventID":1,"EventTime":"noon""#).unwrap_err().to_string();
        assert!(noon.starts_with("`noon` in `EventTime` is not a time"), "{noon}");
        assert_eq!(skip("[]").reason(), "malformed JSON");
        let nested = skip(r#"{"Event":{"System":{"EventID":7,"Channel":"Security"}}}"#);
        assert_eq!(nested, Skip::missing("Channel"));
    }
}
