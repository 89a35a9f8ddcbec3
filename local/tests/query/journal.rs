//! The journal's topic: one that deletes records, and one that is recreated or becomes unreachable under a running
//! service.

use reqwest::Method;
use serde_json::json;

use crate::asking::{KEYS, call_at, made};
use crate::bed::{Bed, Proc, http, wait_until};
use crate::client::{DEADLINE, HOURS, get_at, ready, wait_until_ready};
use crate::keys_command::{creating, token_of};

/// The token of a first key, made as the service's operator makes it.
fn first_admin(bed: &Bed, settings: &[(&str, &str)]) -> String {
    let mut command = bed.spawn_command("horolog-query", &creating("first", "admin", "*", &[]), settings);
    assert!(command.wait(DEADLINE).success(), "{}", command.log_tail());
    token_of(&std::fs::read_to_string(command.log()).unwrap())
}

/// The status of a request that posts nothing; `None` where the service ended before it answered.
fn post_at(service: &Proc, token: &str, path: &str) -> Option<u16> {
    let request = http().post(format!("{}{path}", service.http()));
    let request = request.bearer_auth(token).json(&json!({})).timeout(DEADLINE);
    // Created within the runtime too, since its time-out needs one.
    let answer = Bed::shared().block_on(async { request.send().await });
    answer.ok().map(|answer| answer.status().as_u16())
}

/// Whether the service ends by itself, and says that the journal is another one.
fn assert_ends(service: &mut Proc, topic: &str) {
    assert!(!service.wait(DEADLINE).success());
    let said = format!("access.journal_topic = {topic}: the topic was recreated or lost its end");
    assert!(service.log_tail().contains(&said), "{}", service.log_tail());
}

#[test]
fn a_journal_that_forgets_by_age_is_refused() {
    let bed = Bed::shared();
    bed.topic("forgetful", 1);
    let mut service = bed.spawn(
        "horolog-query",
        &[("HOROLOG_QUERY__ACCESS__JOURNAL_TOPIC", "forgetful")],
    );
    assert!(!service.wait(DEADLINE).success());
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(
        log.contains("access.journal_topic = forgetful: cleanup.policy is delete"),
        "{log}"
    );
}

#[test]
fn a_recreated_journal_takes_no_change_and_ends_the_service_which_starts_with_what_is_there() {
    let (bed, topic) = (Bed::shared(), "recreated-journal");
    let settings = [("HOROLOG_QUERY__ACCESS__JOURNAL_TOPIC", topic)];
    let admin = first_admin(bed, &settings);
    let mut service = ready(bed, &settings);
    let analyst = json!({"name": "analyst", "role": "analyst", "tenant": "remade"});
    let key = made(&call_at(&service, &admin, Method::POST, KEYS, Some(&analyst)));
    let status = |service: &Proc| call_at(service, &key.token, Method::GET, HOURS, None).status;
    assert_eq!(status(&service), 200);

    bed.recreate_topic(topic, 1);
    let revoked = post_at(&service, &admin, &format!("{KEYS}/{}/revoke", key.id));
    assert!(revoked.is_none_or(|status| status == 503), "{revoked:?}");
    assert_ends(&mut service, topic);

    bed.set_topic(topic, &[("cleanup.policy", "compact")]);
    service.restart();
    wait_until_ready(bed, &mut service);
    assert_eq!(status(&service), 401, "the new journal does not have it");
}

#[test]
fn a_recreated_journal_ends_a_service_that_nobody_asks_for_anything() {
    let (bed, topic) = (Bed::shared(), "quietly-recreated-journal");
    let settings = [("HOROLOG_QUERY__ACCESS__JOURNAL_TOPIC", topic)];
    first_admin(bed, &settings);
    let mut service = ready(bed, &settings);
    bed.recreate_topic(topic, 1);
    assert_ends(&mut service, topic);
}

/// Each is a process of its own, as services that share a journal are.
#[test]
fn processes_that_write_at_the_same_time_all_come_to_their_turn() {
    let settings = [("HOROLOG_QUERY__ACCESS__JOURNAL_TOPIC", "busy-journal")];
    let names: Vec<String> = (0..8).map(|number| format!("writer {number}")).collect();
    let create = |name: &String| {
        Bed::shared().spawn_command("horolog-query", &creating(name, "analyst", "busy", &[]), &settings)
    };
    let mut writers: Vec<Proc> = names.iter().map(create).collect();
    for writer in &mut writers {
        assert!(writer.wait(DEADLINE).success(), "{}", writer.log_tail());
    }
    let mut list = Bed::shared().spawn_command("horolog-query", &["keys", "list"], &settings);
    assert!(list.wait(DEADLINE).success(), "{}", list.log_tail());
    let listed = std::fs::read_to_string(list.log()).unwrap();
    for name in &names {
        assert!(listed.contains(name.as_str()), "{name} is not in {listed}");
    }
}

#[test]
fn a_service_that_cannot_follow_the_journal_is_not_ready_until_it_can() {
    let bed = Bed::start();
    let service = ready(&bed, &[]);
    bed.kill_broker();
    let readiness = || bed.get(&format!("{}/readyz", service.http()));
    wait_until(DEADLINE, "the service is not ready", || readiness().0 == 503);
    let reason = readiness().1;
    assert!(
        reason.starts_with("access.journal_topic: its end was not seen"),
        "{reason}"
    );
    let hours = get_at(&bed, &service, HOURS, &[("tenant_id", "a")]);
    assert_eq!(hours.status, 200, "metrics go on: {}", hours.text);
    bed.start_broker();
    wait_until(DEADLINE, "the service is ready again", || readiness().0 == 200);
}
