//! Concurrent changes of keys: by several processes, by a client that hangs up, with a key that ends meanwhile.

use reqwest::Method;
use serde_json::json;

use crate::asking::{KEYS, administer, call_at, get_as, make_key};
use crate::bed::{Bed, Proc, wait_until};
use crate::client::{DEADLINE, EVENTS, ready, service};
use crate::http::begin;

#[test]
fn all_processes_know_a_key_and_so_does_the_next_start() {
    let mut second = ready(Bed::shared(), &[]);
    let key = make_key("auditor", "everywhere", json!({}));
    let status = |service: &Proc| call_at(service, &key.token, Method::GET, EVENTS, None).status;
    wait_until(DEADLINE, "the other process knows the key", || status(&second) == 200);
    second.kill9();
    let third = ready(Bed::shared(), &[]);
    assert_eq!(status(&third), 200, "a start reads all keys");
    assert_eq!(administer(&format!("{KEYS}/{}/revoke", key.id), &json!({})).status, 200);
    wait_until(DEADLINE, "the other process knows that it is revoked", || {
        status(&third) == 401
    });
}

#[test]
fn changes_of_two_processes_at_once_are_all_made() {
    let second = ready(Bed::shared(), &[]);
    let admin = Bed::shared().key("admin");
    let body = json!({"name": "race", "role": "analyst", "tenant": "race"});
    let create = |service: &Proc| {
        for _ in 0..4 {
            assert_eq!(call_at(service, &admin, Method::POST, KEYS, Some(&body)).status, 201);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| create(&second));
        scope.spawn(|| create(service()));
    });
    wait_until(DEADLINE, "all are known", || {
        let answer = get_as(&admin, KEYS).json();
        answer["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["tenant"] == "race")
            .count()
            == 8
    });
}

#[test]
fn whoever_hangs_up_on_a_change_keeps_nobody_from_ending_a_key() {
    let hasty = make_key("admin", "hasty", json!({})).token;
    let key = make_key("auditor", "patient", json!({}));
    let body = json!({"name": "not waited for", "role": "analyst", "tenant": "hasty"}).to_string();
    let request = format!(
        "POST {KEYS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {hasty}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..40 {
        let hung_up = begin(service(), request.as_bytes());
        // Later records are acknowledged later, so by now the change has mostly reached the journal.
        assert_eq!(get_as(&key.token, EVENTS).status, 200);
        drop(hung_up);
    }
    let revoked = administer(&format!("{KEYS}/{}/revoke", key.id), &json!({}));
    assert_eq!(revoked.status, 200, "{}", revoked.text);
}

#[test]
fn an_administrator_whose_key_has_ended_makes_no_more_keys_of_what_was_asked_before() {
    let leaked = make_key("admin", "leaked", json!({}));
    let body = json!({"name": "of a leaked key", "role": "analyst", "tenant": "leaked"});
    let listed = || {
        let answer = get_as(&Bed::shared().key("admin"), KEYS).json();
        let rows = answer["rows"].as_array().unwrap().iter();
        rows.filter(|row| row["name"] == body["name"]).count()
    };
    let after_the_end = std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| call_at(service(), &leaked.token, Method::POST, KEYS, Some(&body)));
        }
        wait_until(DEADLINE, "the first key is made", || listed() > 0);
        let revoked = administer(&format!("{KEYS}/{}/revoke", leaked.id), &json!({}));
        assert_eq!(revoked.status, 200, "{}", revoked.text);
        listed()
    });
    let more = listed() - after_the_end;
    assert!(more <= 1, "{more}: one was under way");
}

#[test]
fn whoever_ends_a_key_again_and_again_takes_nobodys_turn_in_the_journal() {
    let bed = Bed::shared();
    let keys = ["ended often", "ended later"].map(|name| make_key("analyst", name, json!({})));
    let end = |key: usize| {
        let revoked = administer(&format!("{KEYS}/{}/revoke", keys[key].id), &json!({}));
        assert_eq!((revoked.status, &revoked.json()["in_force"]), (200, &json!(false)));
    };
    let versions = |key: usize| {
        let id = &keys[key].id;
        let ended = format!("key_id = '{id}' and revoked_at is not null");
        bed.sql::<u64>(&format!(
            "select max(version) from access_keys where {ended} having max(version) > 0"
        ))
    };
    end(0);
    wait_until(DEADLINE, "its end is in the table", || !versions(0).is_empty());
    let first = versions(0);
    for _ in 0..3 {
        end(0);
    }
    end(1);
    wait_until(DEADLINE, "what came later is there", || !versions(1).is_empty());
    assert_eq!(versions(0), first, "the journal was asked once");
}
