//! JSON that others write and nothing here reads, and the program for jq that makes records of ours of it.
//!
//! Enters: a file of which the layout is known. Leaves: what it is and how to convert it, or nothing. Each program keeps
//! the whole record as metadata or labels. An id that several records share (`auditID` of Kubernetes, whose requests
//! have several stages; `correlationId` of Azure) becomes the id of the request: as that of the event it would hide all
//! of them but one. Pure.

use super::json_layout::{Json, Layout};

/// How to convert a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is {what}; convert it with `jq -c '{program}' FILE > NEW.ndjson`, and import that")]
pub struct Recipe {
    what: &'static str,
    program: String,
}

impl Recipe {
    /// The recipe for a file whose first record has the fields of one of the known kinds.
    pub fn find(json: &Json<'_>) -> Option<Self> {
        let (what, _, program) = KINDS.iter().find(|(_, fields, _)| json.has(fields))?;
        let records = match json.layout {
            Layout::Lines => String::new(),
            Layout::Documents { envelope: Some(name) } => format!(".{name}[] | "),
            Layout::Documents { envelope: None } => "(arrays[], objects) | ".to_owned(),
        };
        let program = format!("{records}{program}");
        Some(Self { what, program })
    }
}

/// What it is, fields by which it is known, and the program.
const KINDS: [(&str, &[&str], &str); 8] = [
    (
        "events of Windows with the nesting of their XML",
        &["Event.System"],
        r##".Event | (.System | {Channel, EventID: (.EventID | if type == "object" then ."#text" else . end), Computer, Level, Keywords, TimeCreated: .TimeCreated."#attributes".SystemTime}) + (.EventData // {})"##,
    ),
    (
        "an audit log of Kubernetes",
        &["auditID", "stage"],
        r#"{occurred_at: .stageTimestamp, action: .verb, user_id: .user.username, service_id: "kubernetes", resource_type: .objectRef.resource, resource_id: .requestURI, resource_name: .objectRef.name, new_value: .requestObject, ip_address: .sourceIPs[0], user_agent: .userAgent, request_id: .auditID, status: ((.responseStatus.code // 0) as $code | if $code >= 500 then "error" elif $code >= 400 then "failure" else "success" end), error_message: .responseStatus.message, metadata: del(.requestObject)}"#,
    ),
    (
        "an activity log of Azure",
        &["eventDataId", "eventTimestamp"],
        r#"{event_id: .eventDataId, occurred_at: .eventTimestamp, action: .operationName.value, user_id: .caller, service_id: .resourceProviderName.value, resource_type: .resourceType.value, resource_id: .resourceId, ip_address: .httpRequest.clientIpAddress, request_id: .correlationId, status: (if .status.value != "Failed" then "success" elif (.subStatus.value // "" | test("Forbidden|Unauthorized")) then "failure" else "error" end), metadata: .}"#,
    ),
    (
        "a resource log of Azure",
        &["time", "resourceId", "operationName", "correlationId"],
        r#"{occurred_at: .time, action: .operationName, user_id: (.identity | if type == "object" then (.claims // {} | .name // .appid) else . end), service_id: "azure", resource_id: .resourceId, ip_address: .callerIpAddress, request_id: .correlationId, status: (if .resultType | tostring | test("^Fail") then "error" else "success" end), metadata: .}"#,
    ),
    (
        "an audit log of GitHub",
        &["_document_id", "action", "actor"],
        r#"{event_id: ._document_id, occurred_at: ."@timestamp", action: .action, user_id: .actor, service_id: "github", resource_id: (.repo // .org // .business), ip_address: .actor_ip, user_agent: .user_agent, request_id: .request_id, metadata: .}"#,
    ),
    (
        "a system log of Okta",
        &["published", "eventType", "actor"],
        r#"{event_id: .uuid, occurred_at: .published, action: .eventType, user_id: .actor.alternateId, service_id: "okta", resource_type: .target[0].type, resource_id: .target[0].id, resource_name: .target[0].displayName, ip_address: .client.ipAddress, user_agent: .client.userAgent.rawUserAgent, session_id: .authenticationContext.externalSessionId, request_id: .transaction.id, status: (if .outcome.result | IN("FAILURE", "DENY") then "failure" else "success" end), error_message: .outcome.reason, metadata: .}"#,
    ),
    (
        "an audit log of Google Cloud",
        &["protoPayload.methodName", "insertId"],
        r#".protoPayload as $call | {occurred_at: .timestamp, action: $call.methodName, user_id: $call.authenticationInfo.principalEmail, service_id: $call.serviceName, resource_type: .resource.type, resource_id: $call.resourceName, new_value: $call.request, ip_address: $call.requestMetadata.callerIp, user_agent: $call.requestMetadata.callerSuppliedUserAgent, request_id: .operation.id, status: (($call.status.code // 0) as $code | if $code == 0 then "success" elif $code == 7 or $code == 16 then "failure" else "error" end), error_message: $call.status.message, metadata: .}"#,
    ),
    (
        "an answer of Prometheus",
        &["status", "data.resultType"],
        r#".data.result[] | .metric as $labels | (.values // [.value])[] | {metric_name: ($labels.__name__ // "NAME"), service_id: $labels.job, time: .[0], value: .[1], labels: ($labels | del(.__name__))}"#,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn words(json: &str) -> Option<String> {
        Recipe::find(&Json::of(json.as_bytes())?).map(|recipe| recipe.to_string())
    }

    #[test]
    fn what_others_write_is_told_with_a_program_for_its_layout() {
        let stage = r#"{"kind":"Event","auditID":"a","stage":"ResponseComplete"}"#;
        for (json, said) in [
            (format!("{stage}\n{stage}\n"), "`jq -c '{occurred_at: .stageTimestamp, "),
            (
                format!("[{stage}]"),
                "`jq -c '(arrays[], objects) | {occurred_at: .stageTimestamp, ",
            ),
            (
                format!(r#"{{"kind":"EventList","items":[{stage}]}}"#),
                "`jq -c '.items[] | {occurred_at: .stageTimestamp, ",
            ),
            (
                r#"{"value":[{"eventDataId":"e","eventTimestamp":"t","correlationId":"c"}]}"#.to_owned(),
                "`jq -c '.value[] | {event_id: .eventDataId, ",
            ),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.to_owned(),
                "it is an answer of Prometheus; convert it with `jq -c '.data.result[] | ",
            ),
            (
                r#"{"Event":{"System":{"EventID":4625,"Channel":"Security"},"EventData":{}}}"#.to_owned(),
                "`jq -c '.Event | (.System | {Channel, EventID: (.EventID | if type",
            ),
        ] {
            let found = words(&json).unwrap();
            assert!(found.contains(said), "{found}");
            assert!(found.ends_with("' FILE > NEW.ndjson`, and import that"), "{found}");
        }
    }

    #[test]
    fn no_id_of_a_request_becomes_that_of_an_event() {
        for (what, _, program) in KINDS {
            assert!(!program.contains('\''), "{what}: the program stands in such quotes");
            for shared in ["auditID", "correlationId", "transaction.id"] {
                assert!(!program.contains(&format!("event_id: .{shared}")), "{what}");
            }
        }
    }

    #[test]
    fn records_of_ours_are_not_taken_for_those_of_others() {
        for json in [
            r#"{"occurred_at":"t","action":"a","metadata":{"auditID":"a","stage":"s"}}"#,
            r#"{"metric_name":"m","value":1}"#,
            r#"{"status":"success","data":{"user":"ann"}}"#,
            r#"{"eventSource":"s3","eventName":"x"}"#,
        ] {
            assert_eq!(words(json), None, "{json}");
        }
    }
}
