//! The migrations of this release, embedded in the binary.
//!
//! Enters: `migrations/NNNN_name/{up,down}.sql`. Leaves: [`MIGRATIONS`] in order, each with its way back and a checksum.
//! One migration makes one object. A migration that was released is never edited: the next one changes what it made.

use sha2::{Digest, Sha256};

use super::{fragments, sql};

/// A numbered change of the schema, and its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number and name, as its folder has them: `0001_metrics`.
    pub id: &'static str,
    /// `up.sql`, with template tokens.
    up: &'static str,
    /// `down.sql`, with template tokens.
    down: &'static str,
}

macro_rules! migrations {
    ($($id:literal),* $(,)?) => {
        &[$(Migration {
            id: $id,
            up: include_str!(concat!("../../migrations/", $id, "/up.sql")),
            down: include_str!(concat!("../../migrations/", $id, "/down.sql")),
        }),*]
    };
}

/// All migrations, in the order in which they are applied.
pub const MIGRATIONS: &[Migration] = migrations![
    "0001_metrics",
    "0002_audit_logs",
    "0003_rejected_records",
    "0004_batch_ledger",
    "0005_metrics_hourly",
    "0006_partition_progress",
    "0007_rebuilds",
    "0008_visible_partials",
    "0009_metrics_hourly_view",
    "0010_hour_revisions",
    "0011_incidents",
    "0012_metrics_hourly_as_of",
    "0013_metrics_daily_in_zone",
    "0014_metrics_daily_view",
    "0015_metrics_monthly_in_zone",
    "0016_metrics_monthly_view",
    "0017_metrics_hourly_share",
    "0018_metrics_hourly_fresh_view",
    "0019_counter_revisions",
    "0020_counter_hourly",
    "0021_counter_hourly_view",
    "0022_counter_hourly_as_of",
    "0023_upkeep_progress",
    "0024_counter_hourly_fresh_view",
    "0025_service_objectives",
    "0026_service_signals",
    "0027_service_signals_view",
    "0028_service_health_summary",
    "0029_live_keys_view",
    "0030_label_sets_view",
    "0031_rebuild_parts",
    "0032_access_keys",
    "0033_access_review",
    "0034_replayed_records",
    "0035_audit_exports",
    "0036_audit_event_ids",
    "0037_daily_rollups",
];

/// The table that records what was applied. It is there before the first migration, so it is none itself.
pub(super) const HISTORY: &str = include_str!("../../migrations/schema_migrations.sql");

impl Migration {
    /// Its number.
    pub fn version(&self) -> u32 {
        self.id
            .split_once('_')
            .and_then(|(number, _)| number.parse().ok())
            .unwrap_or_default()
    }

    /// Its name, which is that of the table or view it makes.
    pub fn object(&self) -> &'static str {
        self.id.split_once('_').map_or(self.id, |(_, name)| name)
    }

    /// The statements that apply it.
    pub fn up(&self) -> Vec<String> {
        sql::statements(&fragments::expand(self.up))
    }

    /// The statements that take it back.
    pub fn down(&self) -> Vec<String> {
        sql::statements(self.down)
    }

    /// SHA-256 of the statements that apply it, shared fragments in place. Comments and line breaks may be improved later, and the parameters of an
    /// installation are not part of the migration: neither counts.
    pub fn checksum(&self) -> String {
        let digest = Sha256::digest(self.up().join(";\n"));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_list_is_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            MIGRATIONS.iter().map(|migration| migration.id).collect::<Vec<_>>()
        );
    }

    #[test]
    fn versions_count_up_from_one() {
        let versions: Vec<u32> = MIGRATIONS.iter().map(Migration::version).collect();
        assert_eq!(versions, (1..).take(MIGRATIONS.len()).collect::<Vec<u32>>());
    }

    /// So that a runner killed between the statement and its record can run it again.
    #[test]
    fn every_step_is_idempotent() {
        for migration in MIGRATIONS {
            for (statements, guard) in [(migration.up(), " if not exists "), (migration.down(), " if exists ")] {
                assert!(!statements.is_empty(), "{} has a way that does nothing", migration.id);
                for statement in statements {
                    assert!(statement.contains(guard), "{}: no {guard}in: {statement}", migration.id);
                }
            }
        }
    }

    #[test]
    fn a_migration_makes_and_drops_the_one_object_it_is_named_after() {
        for migration in MIGRATIONS {
            let named =
                |statement: &String| statement.contains(&format!("exists {}${{on_cluster}}", migration.object()));
            assert!(
                migration.up().iter().all(named) && migration.down().iter().all(named),
                "{}",
                migration.id
            );
        }
    }
}
