//! The alarms for Prometheus: expressions that it understands, and somebody who is told what to do. That the metrics in
//! them exist is tested on a running stack (`tests/stack/life.rs`).

use std::process::Command;

use crate::tools::{output, run, tools, yaml};

/// How urgent an alarm may be.
const SEVERITIES: [&str; 3] = ["page", "ticket", "info"];

fn parse(expression: &str) -> Command {
    let script = "import sys, promql_parser\npromql_parser.parse(sys.argv[1])";
    let mut command = Command::new(tools().join("python"));
    command.args(["-c", script, expression]);
    command
}

#[test]
fn every_alarm_has_an_expression_that_can_be_parsed_and_says_what_to_do() {
    let rules = yaml("deploy/prometheus-rules.yaml");
    let alarms = rules["groups"][0]["rules"].as_array().unwrap();
    assert!(alarms.len() > 5);
    for alarm in alarms {
        run(&mut parse(alarm["expr"].as_str().unwrap()));
        let severity = alarm["labels"]["severity"].as_str().unwrap();
        assert!(SEVERITIES.contains(&severity), "{alarm}");
        for text in ["summary", "description"] {
            assert!(
                alarm["annotations"][text].as_str().is_some_and(|text| !text.is_empty()),
                "{alarm}"
            );
        }
    }
    assert!(!output(&mut parse("sum by (job (horolog_ready)")).status.success());
}
