//! What a stage refuses at the start, because it could not keep its word with it.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::bed::{Bed, Proc, wait_until};
use crate::flow::{Flow, STORED_DEADLINE};

const REFUSED_DEADLINE: Duration = Duration::from_secs(90);

/// What the stage says when it ends.
fn refusal(mut stage: Proc) -> String {
    let status = stage.wait(REFUSED_DEADLINE);
    assert!(!status.success(), "{}", stage.log_tail());
    stage.log_tail()
}

fn set_cleanup_policy(flow: &Flow<'_>, policy: &str) {
    let (admin, options) = (flow.admin(), AdminOptions::new());
    let topic = ResourceSpecifier::Topic(&flow.topic);
    let changed = AlterConfig::new(topic).set("cleanup.policy", policy);
    let altered = flow.bed.block_on(admin.alter_configs([&changed], &options)).unwrap();
    altered.into_iter().for_each(|result| drop(result.unwrap()));
    wait_until(STORED_DEADLINE, "the broker tells the new policy", || {
        let described = flow.bed.block_on(admin.describe_configs([&topic], &options)).unwrap();
        let described = described[0].as_ref().unwrap();
        described.get("cleanup.policy").unwrap().value.as_deref() == Some(policy)
    });
}

#[test]
fn a_compacted_topic_is_refused_with_its_setting() {
    let flow = Flow::new(Bed::shared(), "compacted", 1);
    for policy in ["compact", "compact,delete"] {
        set_cleanup_policy(&flow, policy);
        for stage in [flow.ingest(&[]), flow.aggregate(&[])] {
            let said = refusal(stage);
            let expected = format!("source.metrics_topic = {}: its cleanup.policy is {policy}", flow.topic);
            assert!(said.contains(&expected), "{said}");
        }
    }
}

#[test]
fn two_stages_cannot_be_in_one_group() {
    let flow = Flow::new(Bed::shared(), "one-group", 1);
    let group = format!("{}-ingest", flow.topic);
    let said = refusal(flow.aggregate(&[("HOROLOG_AGGREGATE__SOURCE__GROUP", &group)]));
    assert!(
        said.contains(&format!("source.group: \"{group}\" has to contain \"aggregate\"")),
        "{said}"
    );
}
