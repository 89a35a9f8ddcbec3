//! What a stage refuses at the start, because it could not keep its guarantees with it.

use std::time::Duration;

use crate::bed::{Bed, Proc};
use crate::flow::Flow;

const REFUSED_DEADLINE: Duration = Duration::from_secs(90);

/// What the stage says when it ends.
fn refusal(mut stage: Proc) -> String {
    let status = stage.wait(REFUSED_DEADLINE);
    assert!(!status.success(), "{}", stage.log_tail());
    stage.log_tail()
}

#[test]
fn a_compacted_topic_is_refused_with_its_setting() {
    let flow = Flow::new(Bed::shared(), "compacted", 1);
    for policy in ["compact", "compact,delete"] {
        flow.bed.set_topic(&flow.topic, &[("cleanup.policy", policy)]);
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
        said.contains(&format!("source.group: \"{group}\" must contain \"aggregate\"")),
        "{said}"
    );
}
