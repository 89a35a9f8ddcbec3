//! Errors of migrations, with messages that name the setting or command to use.

use clickhouse::error::Error as ClientError;

use super::layout::LayoutError;
use super::retention::RetentionError;
use super::server::code_of;
use crate::errors::innermost;

/// Why migrations could not be read, applied or reverted.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A parameter is invalid.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A retention setting is out of bounds.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// The server refused something or cannot be reached.
    #[error("cannot {doing}: {}", explain(cause))]
    Server {
        /// What was being done.
        doing: String,
        /// What the client said.
        cause: ClientError,
    },
    /// Deduplication tokens, counts and read-backs assume one set of rows, which every server of the cluster has.
    #[error(
        "tables.cluster = {cluster}: it has {shards} shards; Horolog needs exactly one, with any number of replicas"
    )]
    Shards {
        /// The cluster.
        cluster: String,
        /// The number of its shards.
        shards: u64,
    },
    /// Another runner holds the lock, or was killed while holding it.
    #[error("another run holds the lock ({holder}); if it is dead, run `horolog-migrate {command} --break-lock`")]
    Locked {
        /// Who, what and since when.
        holder: String,
        /// The command that wants the lock.
        command: String,
    },
    /// Another runner broke the lock of this one.
    #[error("this run lost the lock ({now}); stopped before the next step")]
    LockLost {
        /// Who holds it now.
        now: String,
    },
    /// An applied migration reads differently in this release.
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
    /// There is no such version.
    #[error("--to {to}: the last migration is {last}")]
    NoSuchVersion {
        /// The version asked for.
        to: u32,
        /// The newest version.
        last: u32,
    },
    /// Reverting a migration would delete rows.
    #[error("refused to destroy data: {tables}; to do it anyway, add --destroy-data")]
    WouldDestroy {
        /// The tables with their row counts.
        tables: String,
    },
    /// A new TTL would delete rows sooner, or no longer move them.
    #[error(
        "refused to shorten the retention: {tables}; use the settings of the installation again ([retention], \
         tables.storage_policy; for a local stack that kept everything, `horolog up --keep-all`) or, to shorten it \
         anyway, add --shorten-retention"
    )]
    WouldShorten {
        /// The tables with what they would lose.
        tables: String,
    },
    /// The schema is older than this release requires.
    #[error("database {database} lacks {}: run `horolog-migrate up`", missing.join(", "))]
    Pending {
        /// The database.
        database: String,
        /// Migrations that have not been applied.
        missing: Vec<String>,
    },
    /// Stopped by a signal.
    #[error("interrupted: the completed steps are recorded; run the same command again to continue")]
    Interrupted,
}

impl MigrateError {
    /// An error of the server, with what was being done.
    pub(super) fn server(doing: impl Into<String>, cause: ClientError) -> Self {
        Self::Server {
            doing: doing.into(),
            cause,
        }
    }

    /// The error code in the server's response.
    pub(super) fn code(&self) -> Option<u32> {
        match self {
            Self::Server { cause, .. } => code_of(cause),
            _ => None,
        }
    }
}

/// The client's message, with the setting to check.
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
