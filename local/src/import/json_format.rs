//! Which format the records of a JSON file are of, by the first of them.
//!
//! Enters: a file of which the layout is known. Leaves: the format. Pure.

use super::json_layout::{Json, Layout};
use super::mapping::Format;

/// CloudTrail is recognised by its wrapper or two of its fields, the Windows event log by two of its own; everything
/// else is taken for Horolog's records.
pub fn of(json: &Json<'_>) -> Format {
    let envelope = Some("Records");
    if json.layout == (Layout::Documents { envelope })
        || json.has(&["eventSource", "eventName"])
        || json.has(&["CloudTrailEvent"])
    {
        Format::Cloudtrail
    } else if json.has(&["EventID", "Channel"]) {
        Format::WindowsEvents
    } else {
        Format::Ndjson
    }
}

#[cfg(test)]
mod tests {
    use crate::import::detect_error::DetectError;
    use crate::import::testing::detected;

    fn detect(head: &str, flags: &[&str]) -> Result<String, DetectError> {
        detected("web/events.json", head, flags)
    }

    #[test]
    fn json_may_be_an_array_or_lie_in_a_field_or_over_several_lines() {
        let event = r#"{"eventName": "x", "eventSource": "s"}"#;
        for (head, description) in [
            (
                r#"{"Records":[{"a":1}]}"#.to_owned(),
                "cloudtrail, documents with `Records`",
            ),
            (
                " { \"Records\" : [\n".to_owned(),
                "cloudtrail, documents with `Records`",
            ),
            ("{\n\"Records\": [".to_owned(), "cloudtrail, documents with `Records`"),
            (format!("{{\n{}", &event[1..]), "cloudtrail, objects or arrays of them"),
            (
                format!("[\n{event},\n{event}]"),
                "cloudtrail, objects or arrays of them",
            ),
            (
                format!(r#"{{"nextToken":null,"events":[{event}]}}"#),
                "cloudtrail, documents with `events`",
            ),
            (
                r#"[{"Channel":"Security","EventID":1}]"#.to_owned(),
                "windows-events, objects or arrays of them",
            ),
            (
                r#"{"value":[{"Channel":"Security","EventID":1}]}"#.to_owned(),
                "windows-events, documents with `value`",
            ),
            (
                r#"[{"metric_name":"m"}]"#.to_owned(),
                "ndjson, objects or arrays of them",
            ),
            (
                "{\n \"metric_name\": \"m\"\n}".to_owned(),
                "ndjson, objects or arrays of them",
            ),
        ] {
            assert_eq!(detect(&head, &[]).as_deref(), Ok(description), "{head}");
        }
    }

    #[test]
    fn what_the_command_of_aws_prints_is_known() {
        let looked_up = r#"{ "Events": [ { "EventId": "1", "CloudTrailEvent": "{\"eventVersion\":\"1.08\"}" } ] }"#;
        for text in [looked_up, &looked_up.replace(' ', "\n")] {
            assert_eq!(
                detect(text, &[]).as_deref(),
                Ok("cloudtrail, documents with `Events`"),
                "{text}"
            );
        }
    }
}
