//! Roles and row policies. The embedded engine stores none that are made by SQL, so their effect is tested in
//! `engine/row_policies.rs`, with the same text in the engine's configuration.

use std::collections::BTreeSet;

use horolog_schemas::migrate::{MIGRATIONS, access_statements};

use crate::target::Target;

#[test]
fn a_server_that_stores_no_roles_says_so_and_has_its_tables_all_the_same() {
    let target = Target::new();
    let run = target.migrate(&["up", "--set", "tables.row_policies=true"]);
    run.refused("tables.row_policies needs a server that stores access entities");
    assert_eq!(target.migrate(&["up"]).done().lines(), ["nothing to do"]);
}

#[test]
fn the_engine_understands_each_statement() {
    let target = Target::migrated();
    let there: BTreeSet<&str> = MIGRATIONS.iter().map(|migration| migration.object()).collect();
    for on_cluster in ["", " on cluster company"] {
        for statement in access_statements("horolog", on_cluster, &there) {
            let quoted = statement.replace('\'', "''");
            let understood: String = target.one(&format!("select formatQuerySingleLine('{quoted}')"));
            assert!(
                understood.to_lowercase().contains(on_cluster) && !understood.is_empty(),
                "{statement}"
            );
        }
    }
}
