//! The migrations of this release, embedded in the binary.
//!
//! Enters: `migrations/NNNN_name/{up,down}.sql`. Leaves: [`MIGRATIONS`] in order, each with its reversal and a
//! checksum. A migration creates one object, or changes one that an earlier one created: `NNNN_object__change`. A
//! released migration is never edited (`migrations/checksums`): a later one changes what it created.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::{fragments, sql};
use crate::digest;

/// A numbered change of the schema, and its reversal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number and name, as in the name of its folder: `0001_metrics`, `0123_metrics__region`.
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
    "0038_service_health_summary__units",
    "0039_access_subjects",
    "0040_audit_exports__teams",
    "0041_hourly_totals",
    "0042_batch_ledger__reached",
    "0043_daily_totals",
];

/// The table that records what was applied. It exists before the first migration, so it is not a migration itself.
pub(super) const HISTORY: &str = include_str!("../../migrations/schema_migrations.sql");

impl Migration {
    /// Its number.
    pub fn version(&self) -> u32 {
        self.id
            .split_once('_')
            .and_then(|(number, _)| number.parse().ok())
            .unwrap_or_default()
    }

    /// The table or view that it creates or changes.
    pub fn object(&self) -> &'static str {
        let name = self.id.split_once('_').map_or(self.id, |(_, name)| name);
        name.split_once("__").map_or(name, |(object, _)| object)
    }

    /// The statements that apply it.
    pub fn up(&self) -> Vec<String> {
        sql::statements(&fragments::expand(self.up))
    }

    /// The statements that revert it.
    pub fn down(&self) -> Vec<String> {
        sql::statements(&fragments::expand(self.down))
    }

    /// SHA-256 of the statements that apply it, with shared fragments expanded. Comments, line breaks and the
    /// parameters of an installation do not count: comments may be improved later, and parameters are not part of the
    /// migration.
    pub fn checksum(&self) -> String {
        digest::hex(&Sha256::digest(self.up().join(";\n")))
    }
}

/// The tables and views that migrations create or change.
pub(super) fn objects<'a>(migrations: impl IntoIterator<Item = &'a Migration>) -> BTreeSet<&'static str> {
    migrations.into_iter().map(Migration::object).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// Released migrations, one `id checksum` per line.
    const RELEASED: &str = include_str!("../../migrations/checksums");

    const MADE: Migration = Migration {
        id: "0001_metrics",
        up: "create table if not exists metrics${on_cluster} (value Float64) engine = ${engine MergeTree} order by value",
        down: "drop table if exists metrics${on_cluster} sync",
    };
    const CHANGED: Migration = Migration {
        id: "0002_metrics__region",
        up: "alter table metrics${on_cluster} add column if not exists region String default '' after value",
        down: "alter table metrics${on_cluster} drop column if exists region",
    };
    const REPLACED: Migration = Migration {
        id: "0003_metrics_view__region",
        up: "create or replace view metrics_view${on_cluster} as select region, value from metrics",
        down: "create or replace view metrics_view${on_cluster} as select value from metrics",
    };

    /// The statements that a migration must not have. Allowed ones can be repeated (a runner may be killed between a
    /// statement and its record) and are about the object whose rows `down` counts.
    fn forbidden(migration: &Migration) -> Vec<String> {
        let object = format!("{}${{on_cluster}}", migration.object());
        let changes = migration.id.contains("__");
        let is_step = |statement: &str, verb: &str, guard: &str| {
            if !changes {
                return statement.contains(&format!("{guard}{object}"));
            }
            let is_guarded =
                statement.contains(verb) && statement.matches(verb).count() == statement.matches(guard).count();
            // Stages of the previous release insert only the columns that they know, so new ones need a default.
            let has_value = !statement.contains(" add column ") || statement.contains(" default ");
            statement.starts_with(&format!("create or replace view {object} "))
                || (statement.starts_with(&format!("alter table {object} ")) && is_guarded && has_value)
        };
        let up = migration
            .up()
            .into_iter()
            .filter(|up| !is_step(up, " add ", " if not exists "));
        let down = migration
            .down()
            .into_iter()
            .filter(|down| !is_step(down, " drop ", " if exists "));
        up.chain(down).collect()
    }

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

    #[test]
    fn each_step_can_be_repeated_and_is_about_the_object_that_the_migration_is_named_after() {
        for migration in MIGRATIONS.iter().chain([&MADE, &CHANGED, &REPLACED]) {
            let is_empty = migration.up().is_empty() || migration.down().is_empty();
            assert!(!is_empty, "{} has a way that does nothing", migration.id);
            assert_eq!(forbidden(migration), [""; 0], "{}", migration.id);
        }
    }

    #[test]
    fn a_change_is_of_its_own_object_guarded_and_with_a_default() {
        assert_eq!((CHANGED.version(), CHANGED.object()), (2, "metrics"));
        for up in [
            "alter table metrics_hourly${on_cluster} add column if not exists region String default ''",
            "alter table metrics add column if not exists region String default ''",
            "alter table metrics${on_cluster} add column region String default ''",
            "alter table metrics${on_cluster} add column if not exists region String",
            "alter table metrics${on_cluster} add column if not exists a String default '', add column b String default ''",
            "alter table metrics${on_cluster} drop column if exists value",
        ] {
            assert_eq!(forbidden(&Migration { up, ..CHANGED }), [up]);
        }
        let down = "alter table metrics${on_cluster} drop column region";
        assert_eq!(forbidden(&Migration { down, ..CHANGED }), [down]);
    }

    #[test]
    fn an_object_is_made_once_and_changed_after_that() {
        let mut made = BTreeSet::new();
        for migration in MIGRATIONS {
            let is_first = made.insert(migration.object());
            assert_eq!(is_first, !migration.id.contains("__"), "{}", migration.id);
        }
    }

    /// `down` counts the rows of a table whether it drops the table or one of its columns.
    #[test]
    fn a_table_and_its_changes_are_one_object() {
        assert_eq!(objects([&CHANGED, &MADE]), BTreeSet::from(["metrics"]));
        assert_eq!(objects([&CHANGED]), BTreeSet::from(["metrics"]));
    }

    #[test]
    fn released_migrations_are_as_they_were() {
        let released: BTreeMap<&str, &str> = RELEASED.lines().filter_map(|line| line.split_once(' ')).collect();
        for migration in MIGRATIONS {
            let (id, checksum) = (migration.id, migration.checksum());
            let Some(released) = released.get(id) else {
                panic!("a new migration: add this line to schemas/migrations/checksums:\n{id} {checksum}");
            };
            assert_eq!(
                *released, checksum,
                "{id} reads differently now, so every installation that has it would refuse to start. A released migration does not change, \
                 nor do the fragments in it and the text that epochs.rs and buckets.rs make for it: restore them, and put the change into a \
                 new migration"
            );
        }
        assert_eq!(
            released.len(),
            MIGRATIONS.len(),
            "checksums has migrations that there are not"
        );
    }
}
