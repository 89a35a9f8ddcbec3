//! What the roles and row policies of `tables.row_policies` do, on the real engine.
//!
//! The engine stores none that are made by SQL, but takes them from its configuration: the text of the statements
//! becomes `users.d/reader.xml`, and the engine's user becomes a reader.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use horolog_schemas::migrate::{MIGRATIONS, access_statements};

use crate::server::{Engine, HOROLOG, PASSWORD};

/// The views, with their parameters.
const VIEWS: &[&str] = &[
    "counter_hourly_as_of(as_of = '2100-01-01 00:00:00')",
    "counter_hourly_fresh_view",
    "counter_hourly_view",
    "label_sets_view",
    "live_keys_view",
    "metrics_daily_in_zone(time_zone = 'Europe/Berlin')",
    "metrics_daily_view",
    "metrics_hourly_as_of(as_of = '2100-01-01 00:00:00')",
    "metrics_hourly_fresh_view",
    "metrics_hourly_share(threshold = 1)",
    "metrics_hourly_view",
    "metrics_monthly_in_zone(time_zone = 'Europe/Berlin')",
    "metrics_monthly_view",
    "service_health_summary",
    "service_signals_view",
];
const TABLES: &[&str] = &["metrics", "metrics_hourly", "rebuilds", "incidents"];

fn migrate(engine: &Engine, folder: &Path) {
    let password = folder.join("password-of-migrate");
    std::fs::write(&password, PASSWORD).unwrap();
    let mut command = Command::new(Path::new(HOROLOG).with_file_name("horolog-migrate"));
    command
        .args(["up", "--url", &engine.url, "--password-file"])
        .arg(&password);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Two tenants, each with a sample, an hour and an event; and a rebuild of all tenants.
async fn fill(engine: &Engine) {
    for tenant in ["red", "blue"] {
        for statement in [
            format!(
                "insert into horolog.metrics (tenant_id, metric_name, metric_type, time, value, inserted_at) \
                 select '{tenant}', 'm', 'counter', now64(6), 1, now64(3)"
            ),
            format!(
                "insert into horolog.metrics_hourly (tenant_id, metric_name, hour, count, positive, inserted_at) \
                 select '{tenant}', 'm', toStartOfHour(now('UTC')), 1, map(0, 1), now64(3)"
            ),
            format!(
                "insert into horolog.audit_logs (tenant_id, event_id, occurred_at, inserted_at) \
                 select '{tenant}', generateUUIDv4(), now64(6), now64(3)"
            ),
        ] {
            engine.sql(&statement).await;
        }
    }
}

/// Gives the engine's user these roles: it may do what the statements grant and nothing else.
fn reader(folder: &Path, roles: &[&str]) {
    let there: BTreeSet<&str> = MIGRATIONS.iter().map(|migration| migration.object()).collect();
    let statements = access_statements("horolog", "", &there);
    let mut granted = String::new();
    let mut policies = String::new();
    for statement in &statements {
        if let Some((grant, readers)) = statement.split_once(" to ").filter(|_| statement.starts_with("grant ")) {
            if roles
                .iter()
                .any(|role| readers.split(", ").any(|reader| reader == *role))
            {
                granted += &format!("<query>{grant}</query>");
            }
        } else if let Some(policy) =
            statement.strip_prefix("create row policy or replace horolog_tenants on `horolog`.")
        {
            let (table, rest) = policy.split_once(" for select using ").unwrap();
            let (filter, _) = rest.split_once(" to ").unwrap();
            policies += &format!("<{table}><filter>{filter}</filter></{table}>");
        }
    }
    let made: String = roles.iter().map(|role| format!("<{role}/>")).collect();
    let given = format!("<query>grant {}</query>", roles.join(", "));
    let text = format!(
        "<clickhouse><roles>{made}</roles><users><default><grants replace=\"replace\">{granted}{given}</grants>\
         <databases><horolog>{policies}</horolog></databases></default></users></clickhouse>"
    );
    let users = folder.join("data/users.d");
    std::fs::create_dir_all(&users).unwrap();
    std::fs::write(users.join("reader.xml"), text).unwrap();
}

async fn tenants(engine: &Engine, of: &str) -> String {
    engine
        .sql(&format!(
            "select arrayStringConcat(arraySort(groupUniqArray(toString(tenant_id))), ',') from horolog.{of}"
        ))
        .await
}

#[tokio::test]
async fn a_reader_sees_the_tenants_that_its_roles_open_through_every_view() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::start_in(folder.path(), &[]);
    migrate(&engine, folder.path());
    fill(&engine).await;
    let both: Vec<&str> = VIEWS.iter().chain(TABLES).copied().collect();
    let mut filled = BTreeSet::new();
    for of in &both {
        if tenants(&engine, of).await == "blue,red" {
            filled.insert(*of);
        }
    }
    assert!(
        filled.contains("metrics_hourly_fresh_view") && filled.contains("metrics"),
        "{filled:?}"
    );
    drop(engine);
    for (roles, seen) in [
        (&["horolog_analyst", "horolog_tenant_red"][..], "red"),
        (&["horolog_analyst", "horolog_every_tenant"], "blue,red"),
        (&["horolog_auditor", "horolog_tenant_blue"], "blue"),
        (&["horolog_analyst"], ""),
    ] {
        reader(folder.path(), roles);
        let engine = Engine::start_in(folder.path(), &[]);
        for of in &both {
            let expected = if filled.contains(of) { seen } else { "" };
            assert_eq!(tenants(&engine, of).await, expected, "{of} to {roles:?}");
        }
        let (status, answer) = engine
            .post(&[], "select toString(tenant_id) from horolog.audit_logs")
            .await;
        if roles[0] == "horolog_auditor" {
            assert_eq!(answer, "blue\n");
        } else {
            assert!(!status.is_success() && answer.contains("Code: 497"), "{answer}");
        }
        for of in ["rejected_records", "access_keys", "batch_ledger"] {
            let (_, answer) = engine.post(&[], format!("select count() from horolog.{of}")).await;
            assert!(answer.contains("Code: 497"), "{of} to {roles:?}: {answer}");
        }
    }
}
