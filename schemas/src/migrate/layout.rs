//! `[tables]`: the layout of the tables on the servers, and the template tokens that stand for it in the migrations.
//!
//! Enters: a statement with tokens. Leaves: the statement for this installation. Guarantees: a single server, a
//! replicated cluster and the scratch tables of `check` use the same text; an unknown token is an error and is never
//! sent.

use serde::{Deserialize, Serialize};

use super::sql;

/// `[tables]`: parameters of the tables. They take effect when a table is created; `check` reports where a live table
/// differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// `plain` for one server, `replicated` for a cluster with Keeper.
    pub engine: Engine,
    /// Cluster whose servers all run each statement (`on cluster`). Empty: only the server of `clickhouse.url`.
    pub cluster: String,
    /// Storage policy of the tables; old audit events move to its volume `cold` if it has one. Empty: the server's
    /// default.
    pub storage_policy: String,
    /// How long after the broker confirmed its owner a batch may still be inserted. Seconds.
    pub lease_seconds: u32,
    /// How many inserted parts a table remembers for deduplication. Default: 100,000.
    pub deduplication_window: Option<u32>,
    /// How long a replicated table remembers them; whichever limit is reached first applies. Seconds.
    pub deduplication_window_seconds: u32,
    /// Whether `up` also creates roles and row policies for users who query in SQL. Needs a server that stores access
    /// entities itself (`user_directories.local_directory` or `replicated`), and a user with `access_management`.
    pub row_policies: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            engine: Engine::Plain,
            cluster: String::new(),
            storage_policy: String::new(),
            lease_seconds: 60,
            deduplication_window: None,
            deduplication_window_seconds: 604_800,
            row_policies: false,
        }
    }
}

/// The family of table engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `MergeTree` and its siblings.
    Plain,
    /// `ReplicatedMergeTree` and its siblings, with the server's macros `shard` and `replica`.
    Replicated,
}

/// Why a layout or a statement cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A name that would need quoting.
    #[error("{setting} = {value:?}: only letters, digits, _ and - are supported")]
    Name {
        /// The setting to change.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// A number that must not be 0.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Plain tables on several servers, each of which would have different rows.
    #[error("tables.cluster = {0}: its servers hold the same rows only with tables.engine=replicated")]
    PlainCluster(String),
    /// The existing tables are replicated: a plain layout would silently skip their other replicas, which share the
    /// history of migrations.
    #[error(
        "tables.engine = plain: the existing tables are replicated; set tables.engine and tables.cluster as at installation"
    )]
    ReplicatedThere,
    /// The existing tables have other replicas, which a statement without `on cluster` would skip.
    #[error("tables.cluster is empty: the existing tables have {0} replicas; set it as at installation")]
    OneOfReplicas(u32),
    /// An unknown token.
    #[error("unknown template token ${{{0}}}")]
    Token(String),
}

impl Layout {
    /// Refuses values that cannot be put into a statement.
    pub fn validate(&self) -> Result<(), LayoutError> {
        is_name("tables.cluster", &self.cluster)?;
        is_name("tables.storage_policy", &self.storage_policy)?;
        if !self.cluster.is_empty() && self.engine == Engine::Plain {
            return Err(LayoutError::PlainCluster(self.cluster.clone()));
        }
        for (setting, value) in [
            ("tables.lease_seconds", Some(self.lease_seconds)),
            ("tables.deduplication_window", self.deduplication_window),
            (
                "tables.deduplication_window_seconds",
                Some(self.deduplication_window_seconds),
            ),
        ] {
            if value == Some(0) {
                return Err(LayoutError::Zero(setting));
            }
        }
        Ok(())
    }

    /// Refuses to run on one server if the tables are replicated on several. `replicas`: how many there are; `None` if
    /// the tables are plain.
    pub(super) fn require_all_of(&self, replicas: Option<u32>) -> Result<(), LayoutError> {
        match replicas {
            Some(_) if self.engine == Engine::Plain => Err(LayoutError::ReplicatedThere),
            Some(replicas @ 2..) if self.cluster.is_empty() => Err(LayoutError::OneOfReplicas(replicas)),
            _ => Ok(()),
        }
    }

    /// The statement with its tokens replaced.
    pub fn render(&self, statement: &str) -> Result<String, LayoutError> {
        self.replace(statement, self.engine)
    }

    /// The same for a model of the real table: neither replicated nor on the whole cluster, but otherwise equal.
    pub(super) fn render_model(&self, statement: &str) -> Result<String, LayoutError> {
        Self {
            cluster: String::new(),
            ..self.clone()
        }
        .replace(statement, Engine::Plain)
    }

    /// `` on cluster `c` `` with a leading blank, or nothing.
    pub fn on_cluster(&self) -> String {
        if self.cluster.is_empty() {
            String::new()
        } else {
            format!(" on cluster {}", sql::literal(&self.cluster))
        }
    }

    fn replace(&self, statement: &str, engine: Engine) -> Result<String, LayoutError> {
        let mut parts = statement.split("${");
        let mut rendered = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (token, after) = part
                .split_once('}')
                .ok_or_else(|| LayoutError::Token(part.to_owned()))?;
            rendered.push_str(&self.value(token, engine)?);
            rendered.push_str(after);
        }
        Ok(rendered)
    }

    fn value(&self, token: &str, engine: Engine) -> Result<String, LayoutError> {
        if let Some(family) = token.strip_prefix("engine ") {
            return Ok(clause(
                engine,
                family,
                "'/clickhouse/tables/{shard}/{database}/{table}', '{replica}'",
            ));
        }
        if let Some(family) = token.strip_prefix("engine_everywhere ") {
            return Ok(clause(
                engine,
                family,
                "'/clickhouse/tables/all/{database}/{table}', '{shard}-{replica}'",
            ));
        }
        match token {
            "on_cluster" => Ok(self.on_cluster()),
            "durability" => Ok(self.durability(self.deduplication_window.unwrap_or(100_000))),
            "durability_without_tokens" => Ok(self.durability(0)),
            "storage_policy" if self.storage_policy.is_empty() => Ok(String::new()),
            "storage_policy" => Ok(format!(", storage_policy = {}", sql::literal(&self.storage_policy))),
            "lease_seconds" => Ok(self.lease_seconds.to_string()),
            unknown => Err(LayoutError::Token(unknown.to_owned())),
        }
    }

    /// Settings that make inserted parts survive a crash, and the number of insert tokens that the table remembers.
    fn durability(&self, tokens: u32) -> String {
        match self.engine {
            Engine::Plain => format!(
                "non_replicated_deduplication_window = {tokens}, fsync_after_insert = 1, fsync_part_directory = 1"
            ),
            Engine::Replicated => format!(
                "replicated_deduplication_window = {tokens}, replicated_deduplication_window_seconds = {}",
                self.deduplication_window_seconds
            ),
        }
    }
}

/// `ReplacingMergeTree(column)` as it is, or as `ReplicatedReplacingMergeTree('path', 'replica', column)`.
fn clause(engine: Engine, family: &str, replication: &str) -> String {
    match (engine, family.split_once('(')) {
        (Engine::Plain, _) => family.to_owned(),
        (Engine::Replicated, None) => format!("Replicated{family}({replication})"),
        (Engine::Replicated, Some((name, arguments))) => format!("Replicated{name}({replication}, {arguments}"),
    }
}

/// Names go into statements unquoted or as part of a path, so only plain ones are accepted.
pub(super) fn is_name(setting: &'static str, value: &str) -> Result<(), LayoutError> {
    let plain = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain {
        Ok(())
    } else {
        Err(LayoutError::Name {
            setting,
            value: value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalog::{HISTORY, MIGRATIONS};
    use super::*;

    fn cluster() -> Layout {
        Layout {
            engine: Engine::Replicated,
            cluster: "c1".to_owned(),
            ..Layout::default()
        }
    }

    #[test]
    fn the_engine_clause_is_a_parameter() {
        let text = "engine = ${engine ReplacingMergeTree(at)} settings ${durability}${storage_policy}";
        assert_eq!(
            Layout::default().render(text).unwrap(),
            "engine = ReplacingMergeTree(at) settings non_replicated_deduplication_window = 100000, \
             fsync_after_insert = 1, fsync_part_directory = 1"
        );
        assert_eq!(
            cluster().render(text).unwrap(),
            "engine = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', at) \
             settings replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800"
        );
        assert!(
            cluster()
                .render("${engine MergeTree}")
                .unwrap()
                .starts_with("ReplicatedMergeTree('/clickhouse")
        );
    }

    #[test]
    fn the_model_of_a_replicated_table_is_plain_but_has_its_settings() {
        let text = "create table t${on_cluster} engine = ${engine MergeTree} settings ${durability}";
        assert_eq!(
            cluster().render_model(text).unwrap(),
            "create table t engine = MergeTree settings replicated_deduplication_window = 100000, \
             replicated_deduplication_window_seconds = 604800"
        );
    }

    #[test]
    fn every_migration_renders_for_one_server_and_for_a_cluster() {
        for layout in [Layout::default(), cluster()] {
            let steps = MIGRATIONS
                .iter()
                .flat_map(|migration| [migration.up(), migration.down()])
                .flatten();
            for statement in steps.chain(sql::statements(HISTORY)) {
                let rendered = layout.render(&statement).unwrap();
                assert!(!rendered.contains("${"), "{rendered}");
                assert_eq!(
                    rendered.contains(" on cluster 'c1'"),
                    !layout.cluster.is_empty(),
                    "{rendered}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_token_is_an_error() {
        assert_eq!(
            Layout::default().render("a ${b} c"),
            Err(LayoutError::Token("b".to_owned()))
        );
    }

    #[test]
    fn a_cluster_has_replicated_tables() {
        let plain = Layout {
            engine: Engine::Plain,
            ..cluster()
        };
        assert_eq!(plain.validate(), Err(LayoutError::PlainCluster("c1".to_owned())));
        assert_eq!(cluster().validate(), Ok(()));
    }

    #[test]
    fn replicated_tables_are_changed_on_all_their_replicas_or_not_at_all() {
        let plain = Layout::default();
        let alone = Layout {
            cluster: String::new(),
            ..cluster()
        };
        assert_eq!(plain.require_all_of(None), Ok(()));
        for replicas in [1, 2] {
            assert_eq!(plain.require_all_of(Some(replicas)), Err(LayoutError::ReplicatedThere));
            assert_eq!(cluster().require_all_of(Some(replicas)), Ok(()));
        }
        assert_eq!(alone.require_all_of(Some(1)), Ok(()));
        assert_eq!(alone.require_all_of(Some(2)), Err(LayoutError::OneOfReplicas(2)));
    }

    #[test]
    fn a_name_that_needs_quotes_is_refused_with_its_setting() {
        let layout = Layout {
            cluster: "a'b".to_owned(),
            ..Layout::default()
        };
        assert!(
            layout
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("tables.cluster = ")
        );
    }
}
