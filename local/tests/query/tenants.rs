//! A tenant sees its own rows, whatever text is used as a name.

use std::collections::BTreeSet;

use crate::bed::Bed;
use crate::client::{EVENTS, HOURS, get, pages, rows};
use crate::rows::{event_numbers, insert_event, insert_hours};

#[test]
fn a_tenant_sees_its_own_rows_only() {
    for (number, tenant) in ["red", "blue"].into_iter().enumerate() {
        insert_hours(tenant, 3);
        insert_event(tenant, number as u32, &[]);
    }
    for tenant in ["red", "blue"] {
        for (path, count) in [(HOURS, 24), (EVENTS, 1)] {
            let rows = rows(path, &[("tenant_id", tenant)]);
            assert_eq!(rows.len(), count);
            assert!(rows.iter().all(|row| path == HOURS || row["tenant_id"] == tenant));
        }
    }
    for other in [
        "red' or 1=1 --",
        "%",
        "*",
        "red\0",
        "RED",
        "red,blue",
        "{tenant_id:String}",
        "red\\",
    ] {
        assert!(rows(HOURS, &[("tenant_id", other)]).is_empty(), "{other}");
        assert!(rows(EVENTS, &[("tenant_id", other)]).is_empty(), "{other}");
    }
}

#[test]
fn a_cursor_of_one_tenant_shows_nothing_of_it_to_another() {
    insert_hours("mine", 3);
    insert_hours("yours", 3);
    let cursor = get(HOURS, &[("tenant_id", "mine"), ("limit", "1")]).json()["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(HOURS, &[("tenant_id", "yours"), ("cursor", &cursor)]).refused_parameter(),
        "cursor"
    );
    assert_eq!(
        get(EVENTS, &[("tenant_id", "mine"), ("cursor", &cursor)]).refused_parameter(),
        "cursor"
    );
}

#[test]
fn any_text_is_found_by_its_exact_value() {
    let texts = [
        "plain",
        "it's",
        "back\\slash",
        "\\N",
        "\\t",
        "tab\tline\nreturn\r",
        "nul\0",
        "ä 日本 🦀",
        "{x:String}",
        "?",
        "%25",
        "\"",
        "a b+c",
        "",
    ];
    let values: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| (number, hex(text)))
        .collect();
    for (number, value) in &values {
        let (number, value) = (*number as u32, value.as_str());
        insert_event("texts", number, &[("user_id", value), ("resource_id", value)]);
        Bed::shared().execute(&format!(
            "insert into metrics_hourly select 'texts', 'm', toDateTime('2026-01-01 00:00:00', 'UTC'), {value}, {value}, '', '', \
             'counter', '', 0, 0, 'metrics', 1, 0, 1., 1., 1., (now64(6), 0, {number}, 1.), map(), map(), 1, now64(3)"
        ));
    }
    for (number, text) in texts.iter().enumerate() {
        let events = rows(
            EVENTS,
            &[("tenant_id", "texts"), ("user_id", text), ("resource_id", text)],
        );
        assert_eq!(event_numbers(&events), [number as u32], "{text:?}");
        assert_eq!(events[0]["user_id"], *text);
        let hours = rows(
            HOURS,
            &[("tenant_id", "texts"), ("service_id", text), ("plugin_id", text)],
        );
        assert_eq!(hours.len(), 1, "{text:?}");
    }
    let paged = pages(HOURS, &[("tenant_id", "texts"), ("limit", "1")], || ());
    let seen: BTreeSet<_> = paged.iter().map(|row| row["service_id"].as_str().unwrap()).collect();
    assert_eq!((paged.len(), seen), (texts.len(), BTreeSet::from(texts)));
}

/// A text as SQL that needs no escaping.
fn hex(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("unhex('{digits}')")
}
