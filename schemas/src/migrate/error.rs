//! What can go wrong with migrations, in words that name the setting or the command that helps.

use clickhouse::error::Error as ClientError;

use super::layout::LayoutError;
use super::retention::RetentionError;
use super::server::code_of;

/// Why migrations could not be read, applied or taken back.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A parameter that makes no sense.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A retention that is not possible.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// The server refused something, or cannot be reached.
    #[error("cannot {doing}: {}", explain(cause))]
    Server {
        /// What was being done.
        doing: String,
        /// What the client said.
        cause: ClientError,
    },
    /// Tokens, counts and read-backs are of one set of rows, which every server of the cluster has to have.
    #[error("tables.cluster = {cluster}: it has {shards} shards; Horolog needs one, of as many replicas as you like")]
    Shards {
        /// The cluster.
        cluster: String,
        /// Its shards.
        shards: u64,
    },
    /// Another runner is at work, or was killed at it.
    #[error("another run holds the lock ({holder}); if it is dead, run `horolog-migrate {command} --break-lock`")]
    Locked {
        /// Who, what and since when.
        holder: String,
        /// The command that wanted the lock.
        command: String,
    },
    /// The lock was broken by another runner while this one was at work.
    #[error("the lock was taken away ({now}); stopped before the next step")]
    LockLost {
        /// Who has it now.
        now: String,
    },
    /// A migration that was applied reads differently in this release.
    #[error(
        "migration {id} was changed after it was applied: restore its up.sql, and put the change into a new migration"
    )]
    Changed {
        /// The migration.
        id: String,
    },
    /// A migration that only a newer release has.
    #[error("migration {id} is applied but unknown here: use the horolog-migrate of the newer release")]
    Unknown {
        /// The migration.
        id: String,
    },
    /// A version that there is not.
    #[error("--to {to}: the last migration is {last}")]
    NoSuchVersion {
        /// What was asked for.
        to: u32,
        /// What there is.
        last: u32,
    },
    /// Taking a migration back would delete rows.
    #[error("refused to destroy data: {tables}; to do it all the same, add --destroy-data")]
    WouldDestroy {
        /// The tables with their numbers of rows.
        tables: String,
    },
    /// Another TTL would delete rows that a table keeps.
    #[error(
        "refused to shorten the retention: {tables}; give the settings of the installation again ([retention], \
         tables.storage_policy; of a local stack that kept all `horolog up --keep-all`) or, to shorten it all the same, add --shorten-retention"
    )]
    WouldShorten {
        /// The tables with what they would lose.
        tables: String,
    },
    /// The schema is older than this release needs.
    #[error("database {database} lacks {}: run `horolog-migrate up`", missing.join(", "))]
    Pending {
        /// The database.
        database: String,
        /// Migrations that are not applied.
        missing: Vec<String>,
    },
    /// A signal asked for the end.
    #[error("interrupted: the steps before are done and recorded, run the same command again to go on")]
    Interrupted,
}

impl MigrateError {
    /// An error of the server with what was being done.
    pub(super) fn server(doing: impl Into<String>, cause: ClientError) -> Self {
        Self::Server {
            doing: doing.into(),
            cause,
        }
    }
}

/// The client's words, and the setting to look at.
fn explain(error: &ClientError) -> String {
    const AUTHENTICATION: [u32; 4] = [192, 193, 194, 516];
    const UNKNOWN_POLICY: u32 = 478;
    const ACCESS: [u32; 2] = [497, 514];
    match (error, code_of(error)) {
        (ClientError::Network(_), _) => format!("{}; is clickhouse.url right?", innermost(error)),
        (_, Some(code)) if AUTHENTICATION.contains(&code) => {
            format!("{error}; are clickhouse.user and clickhouse.password_file right?")
        }
        (_, Some(code)) if ACCESS.contains(&code) => {
            format!(
                "{error}; tables.row_policies needs a server that stores access entities, and a user that may manage them"
            )
        }
        (_, Some(UNKNOWN_POLICY)) => format!("{error}; is tables.storage_policy right?"),
        _ => error.to_string(),
    }
}

/// What is at the bottom of "network error: client error: …": the only words that say something.
fn innermost(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), innermost)
}
