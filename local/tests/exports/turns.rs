//! One tenant's exports do not block those of others.

use horolog_local::stack::Ports;

use crate::bed::{Bed, Proc, wait_until};
use crate::client::{assert_is_problem, pages_at, ready};
use crate::history::insert_history;
use crate::requester::{DEADLINE, EXPORTS, ask, begin, delete, ended, look, of};
use crate::s3::settings_at;

#[test]
fn a_tenant_with_many_exports_neither_takes_every_place_nor_every_turn() {
    // An export runs until it is cancelled, because nothing answers at its bucket's address.
    let nobody = format!("http://127.0.0.1:{}", Ports::free().unwrap().query);
    let mut settings = settings_at(&nobody, "turns");
    settings.push(("HOROLOG_QUERY__EXPORTS__TENANT_WAITING_MAX", "3"));
    let service = ready(Bed::shared(), &settings);
    let wanted = of("ndjson", "none");
    let state = |tenant: &str, id: &str| look(&service, tenant, &format!("/{id}")).json()["state"].clone();
    let many: Vec<String> = (0..3).map(|_| begin(&service, "many", &wanted)).collect();
    wait_until(DEADLINE, "the first runs", || state("many", &many[0]) == "running");
    let refused = ask(&service, "many", &wanted);
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_is_problem(&refused);

    let one = begin(&service, "one", &wanted);
    for id in &many[..2] {
        delete(&service, "many", id, 204);
    }
    wait_until(DEADLINE, "the other tenant has its turn", || {
        state("one", &one) == "running"
    });
    assert_eq!(state("many", &many[2]), "queued");
}

#[test]
fn an_export_that_is_ended_while_it_waits_has_ended_for_all_before_its_turn() {
    let nobody = format!("http://127.0.0.1:{}", Ports::free().unwrap().query);
    let service = ready(Bed::shared(), &settings_at(&nobody, "impatient"));
    let [runs, waits] = [(); 2].map(|()| begin(&service, "impatient", &of("ndjson", "none")));
    let state = |id: &str| look(&service, "impatient", &format!("/{id}")).json()["state"].clone();
    wait_until(DEADLINE, "the first runs", || state(&runs) == "running");
    delete(&service, "impatient", &waits, 204);
    let registered = format!("select toString(state) from audit_exports final where export_id = '{waits}'");
    wait_until(DEADLINE, "its end is in the register", || {
        Bed::shared().sql::<String>(&registered) == ["cancelled"]
    });
    assert_eq!(state(&runs), "running");
    delete(&service, "impatient", &waits, 204);
    assert_eq!(look(&service, "impatient", &format!("/{waits}")).status, 404);
}

/// A service whose database takes an hour to answer anything about events.
fn with_slow_events() -> Proc {
    let (bed, database) = (Bed::shared(), "slow_events");
    bed.migrate(&[("HOROLOG_MIGRATE__CLICKHOUSE__DATABASE".to_owned(), database.to_owned())]);
    bed.execute(&format!("drop table {database}.audit_logs sync"));
    bed.execute(&format!(
        "create view {database}.audit_logs as select ['first', 'second'][1 + number % 2] as tenant_id, 'elsewhere' as kafka_topic \
         from numbers(36000) where sleepEachRow(0.1) = 0 settings max_block_size = 1"
    ));
    ready(bed, &[("HOROLOG_QUERY__CLICKHOUSE__DATABASE", database)])
}

#[test]
fn an_export_that_is_ended_leaves_its_place_while_its_question_is_not_answered() {
    let service = with_slow_events();
    let [first, second] = ["first", "second"].map(|tenant| begin(&service, tenant, &of("csv", "none")));
    let is_asking = |id: &str| {
        let statements =
            format!("select count() from system.processes where Settings['log_comment'] = 'horolog-query export/{id}'");
        Bed::shared().one::<u64>(&statements) > 0
    };
    wait_until(DEADLINE, "the first asks", || is_asking(&first));
    assert!(!is_asking(&second));
    delete(&service, "first", &first, 204);
    wait_until(DEADLINE, "the other has its turn", || is_asking(&second));
    wait_until(DEADLINE, "the engine works for the first no more", || {
        !is_asking(&first)
    });
}

#[test]
fn the_list_is_paged_newest_first_and_tells_how_many_files_there_are() {
    insert_history("listed", 163, 24);
    let service = ready(Bed::shared(), &[]);
    let made: Vec<_> = (0..5)
        .map(|_| ended(&service, "listed", &begin(&service, "listed", &of("csv", "none"))))
        .collect();
    let page = [("tenant_id", "listed"), ("limit", "2")];
    let rows = pages_at(Bed::shared(), &service, EXPORTS, &page, || ());
    assert_eq!(rows.len(), made.len());
    for (row, made) in rows.iter().zip(made.iter().rev()) {
        assert_eq!(row["id"], made["id"]);
        assert_eq!(row["file_count"], made["files"].as_array().unwrap().len());
        assert!(row.get("files").is_none());
    }
}
