//! How a CloudTrail event ended, and where it came from: two facts that CloudTrail has no single field for.
//!
//! Enters: an event. Leaves: its status and its source. Pure.

use horolog_schemas::{AuditSource, AuditStatus};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event::Event;
use crate::import::json_text::text;

/// Parts of error codes, in lower case, that mean that the caller was refused. All other codes mean that the call
/// failed.
const REFUSALS: [&str; 7] = [
    "accessdenied",
    "unauthorized",
    "forbidden",
    "authfailure",
    "invalidclienttoken",
    "signaturedoesnotmatch",
    "expiredtoken",
];

/// Refused, broken, or done.
pub(super) fn status(event: &Event<'_>) -> AuditStatus {
    let code = text(event.error_code).to_lowercase();
    if REFUSALS.iter().any(|refusal| code.contains(refusal)) || is_refused_sign_in(event) {
        AuditStatus::Failure
    } else if code.is_empty() {
        AuditStatus::Success
    } else {
        AuditStatus::Error
    }
}

/// A refused sign-in to the console has no error code: its response says so.
fn is_refused_sign_in(event: &Event<'_>) -> bool {
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow, rename = "ConsoleLogin")]
        console_login: Option<&'a RawValue>,
    }
    let response = event
        .response_elements
        .and_then(|json| serde_json::from_str::<Response<'_>>(json.get()).ok());
    response.is_some_and(|response| text(response.console_login) == "Failure")
}

/// `ui`: a person in the console. `system`: a service of AWS, on its own or on somebody's behalf. `api`: everybody else.
pub(super) fn source(event: &Event<'_>) -> AuditSource {
    let event_type = text(event.event_type);
    if matches!(event_type.as_str(), "AwsConsoleSignIn" | "AwsConsoleAction")
        || text(event.event_name) == "ConsoleLogin"
        || text(event.session_credential_from_console) == "true"
        || is_console(&text(event.user_agent))
    {
        return AuditSource::Ui;
    }
    let identity = event.user_identity.as_ref();
    let is_service = text(identity.and_then(|identity| identity.kind)) == "AWSService"
        || text(identity.and_then(|identity| identity.invoked_by)).ends_with(".amazonaws.com");
    if event_type == "AwsServiceEvent" || is_service {
        AuditSource::System
    } else {
        AuditSource::Api
    }
}

/// The console calls services under its own name (`S3Console/0.4`, `RDS Console`, `console.amazonaws.com`,
/// `console.ec2.amazonaws.com`), or under that of one of its parts (`EC2ConsoleFrontend`). A part counts only with
/// `aws-internal/` beside it, since other vendors' programs are called console too.
fn is_console(user_agent: &str) -> bool {
    let program = user_agent
        .trim_start_matches('[')
        .split(['/', ','])
        .next()
        .unwrap_or_default();
    let is_part = || program.contains("Console") && user_agent.contains("aws-internal/");
    let is_host = || program.starts_with("console.") && program.ends_with(".amazonaws.com");
    program.ends_with("Console")
        || program.ends_with("console.amazonaws.com")
        || program == "signin.amazonaws.com"
        || is_part()
        || is_host()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event with these fields.
    fn event(fields: &str) -> Event<'_> {
        serde_json::from_str(fields).unwrap()
    }

    #[test]
    fn refusals_are_failures_and_other_codes_errors() {
        for (fields, expected) in [
            ("{}", AuditStatus::Success),
            (r#"{"errorCode":null}"#, AuditStatus::Success),
            (r#"{"errorCode":"AccessDenied"}"#, AuditStatus::Failure),
            (r#"{"errorCode":"Client.UnauthorizedOperation"}"#, AuditStatus::Failure),
            (r#"{"errorCode":"ExpiredTokenException"}"#, AuditStatus::Failure),
            (r#"{"errorCode":"InvalidAccessException"}"#, AuditStatus::Error),
            (r#"{"errorCode":"ThrottlingException"}"#, AuditStatus::Error),
            (
                r#"{"responseElements":{"ConsoleLogin":"Failure"}}"#,
                AuditStatus::Failure,
            ),
            (
                r#"{"responseElements":{"ConsoleLogin":"Success"}}"#,
                AuditStatus::Success,
            ),
        ] {
            assert_eq!(status(&event(fields)), expected, "{fields}");
        }
    }

    #[test]
    fn the_source_is_a_person_a_service_or_a_program() {
        for (fields, expected) in [
            (r#"{"eventType":"AwsConsoleSignIn"}"#, AuditSource::Ui),
            (r#"{"sessionCredentialFromConsole":"true"}"#, AuditSource::Ui),
            (r#"{"userAgent":"[S3Console/0.4, aws-internal/3]"}"#, AuditSource::Ui),
            (r#"{"userAgent":"console.amazonaws.com"}"#, AuditSource::Ui),
            (r#"{"userAgent":"RDS Console, aws-internal/3"}"#, AuditSource::Ui),
            (r#"{"userAgent":"console.ec2.amazonaws.com"}"#, AuditSource::Ui),
            (
                r#"{"userAgent":"EC2ConsoleFrontend, aws-internal/3 Linux"}"#,
                AuditSource::Ui,
            ),
            (r#"{"userAgent":"ConsoleTool/1.0"}"#, AuditSource::Api),
            (
                r#"{"eventName":"ConsoleLogin","eventType":"AwsServiceEvent"}"#,
                AuditSource::Ui,
            ),
            (r#"{"eventType":"AwsServiceEvent"}"#, AuditSource::System),
            (
                r#"{"userIdentity":{"type":"AWSService","invokedBy":"rds.amazonaws.com"}}"#,
                AuditSource::System,
            ),
            (
                r#"{"userIdentity":{"invokedBy":"secretsmanager.amazonaws.com"}}"#,
                AuditSource::System,
            ),
            (
                r#"{"userIdentity":{"type":"IAMUser"},"userAgent":"Boto3/1.26"}"#,
                AuditSource::Api,
            ),
        ] {
            assert_eq!(source(&event(fields)), expected, "{fields}");
        }
    }
}
