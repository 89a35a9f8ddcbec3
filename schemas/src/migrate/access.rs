//! `tables.row_policies`: ClickHouse's own roles and row policies, which separate tenants for users who query in SQL
//! instead of through the API.
//!
//! Enters: the database and the objects in it. Leaves: idempotent statements. One kind of role says which tables a user
//! may read, the other which tenants' rows; a user needs one of each:
//!
//! | role | may |
//! |---|---|
//! | `horolog_analyst` | read tables and views made from metrics |
//! | `horolog_auditor` | the same, and audit events |
//! | `horolog_tenant_NAME` | see the rows of the tenant `NAME`; created by whoever adds a tenant |
//! | `horolog_every_tenant` | see the rows of all tenants |
//!
//! Guarantees: a reader without a tenant role sees no rows of a tenant, through any view; users without a reader role,
//! such as those of the stages, see what they saw before, whatever the server's default for tables with policies. Pure.

use std::collections::BTreeSet;

/// Readable by analysts and auditors: views, and the tables under them, since a view is read with the caller's rights.
const OF_METRICS: &[&str] = &[
    "counter_hourly",
    "counter_hourly_as_of",
    "counter_hourly_fresh_view",
    "counter_hourly_view",
    "counter_revisions",
    "hour_revisions",
    "incidents",
    "label_sets_view",
    "live_keys_view",
    "metrics",
    "metrics_daily_in_zone",
    "metrics_daily_view",
    "metrics_hourly",
    "metrics_hourly_as_of",
    "metrics_hourly_fresh_view",
    "metrics_hourly_share",
    "metrics_hourly_view",
    "metrics_monthly_in_zone",
    "metrics_monthly_view",
    "partition_progress",
    "rebuilds",
    "service_health_summary",
    "service_objectives",
    "service_signals",
    "service_signals_view",
    "upkeep_progress",
    "visible_partials",
];
/// Readable by auditors only.
const OF_AUDIT: &[&str] = &["audit_event_ids", "audit_logs"];
/// Tables whose rows belong to a tenant or, if the tenant is empty, to everybody.
const OF_TENANTS: &[&str] = &[
    "audit_event_ids",
    "audit_logs",
    "counter_hourly",
    "counter_revisions",
    "daily_rollups",
    "daily_totals",
    "hour_revisions",
    "hourly_totals",
    "incidents",
    "metrics",
    "metrics_hourly",
    "rebuilds",
    "service_objectives",
    "service_signals",
];

/// The rows of [`OF_TENANTS`] that a reader sees.
const TENANTS_FILTER: &str = "tenant_id = '' or has(enabledRoles(), 'horolog_every_tenant') \
    or has(enabledRoles(), concat('horolog_tenant_', tenant_id))";

/// The statements for those tables and views that exist.
pub fn statements(database: &str, on_cluster: &str, there: &BTreeSet<&str>) -> Vec<String> {
    let mut statements: Vec<String> = ["analyst", "auditor", "every_tenant"]
        .iter()
        .map(|role| format!("create role if not exists horolog_{role}{on_cluster}"))
        .collect();
    let mut grant = |objects: &[&str], readers: &str| {
        for object in objects.iter().filter(|object| there.contains(**object)) {
            statements.push(format!(
                "grant{on_cluster} select on `{database}`.{object} to {readers}"
            ));
        }
    };
    grant(OF_METRICS, "horolog_analyst, horolog_auditor");
    grant(OF_AUDIT, "horolog_auditor");
    for table in OF_TENANTS.iter().filter(|table| there.contains(**table)) {
        let mut policy = |name: &str, filter: &str, whose: &str| {
            statements.push(format!(
                "create row policy or replace {name}{on_cluster} on `{database}`.{table} for select using {filter} to {whose}"
            ));
        };
        policy("horolog_tenants", TENANTS_FILTER, "horolog_analyst, horolog_auditor");
        policy("horolog_services", "1", "all except horolog_analyst, horolog_auditor");
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{MIGRATIONS, Migration, objects};
    use super::*;

    /// Readable in SQL by operators only: data of the whole log, bytes of any tenant, API keys, or data that must not
    /// be trusted by itself.
    const OF_OPERATORS: &[&str] = &[
        "access_keys",
        "access_review",
        "access_subjects",
        "audit_exports",
        "batch_ledger",
        "daily_rollups",
        "daily_totals",
        "hourly_totals",
        "rebuild_parts",
        "rejected_records",
        "replayed_records",
    ];

    #[test]
    fn of_each_table_and_view_it_is_said_who_may_read_it() {
        let mut said: Vec<&str> = [OF_METRICS, OF_AUDIT, OF_OPERATORS].concat();
        said.sort_unstable();
        assert_eq!(said, Vec::from_iter(objects(MIGRATIONS)));
    }

    #[test]
    fn whatever_a_reader_may_read_with_a_tenant_has_a_policy() {
        let has_tenants = |migration: &&Migration| {
            let up = migration.up().join(" ");
            !up.contains(" view ")
                && [" tenant_id LowCardinality(String)", " tenant_id String"]
                    .iter()
                    .any(|column| up.contains(column))
        };
        let tables = objects(MIGRATIONS.iter().filter(has_tenants));
        assert_eq!(Vec::from_iter(tables), OF_TENANTS);
    }

    #[test]
    fn what_is_not_there_yet_is_left_out() {
        let all = statements(
            "h",
            "",
            &BTreeSet::from(["metrics", "partition_progress", "metrics_hourly_view"]),
        );
        assert_eq!(
            all[3..],
            [
                "grant select on `h`.metrics to horolog_analyst, horolog_auditor",
                "grant select on `h`.metrics_hourly_view to horolog_analyst, horolog_auditor",
                "grant select on `h`.partition_progress to horolog_analyst, horolog_auditor",
                &format!(
                    "create row policy or replace horolog_tenants on `h`.metrics for select using {TENANTS_FILTER} \
                     to horolog_analyst, horolog_auditor"
                ),
                "create row policy or replace horolog_services on `h`.metrics for select using 1 \
                 to all except horolog_analyst, horolog_auditor",
            ]
        );
    }
}
