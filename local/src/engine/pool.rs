//! The engine's connections: one running statement each, reused where the next statement wants the same session.
//!
//! Enters: a database and settings. Leaves: a [`Lease`] on a connection that has them.
//! Guarantees: a connection is reused only when its statement left nothing behind ([`Lease::release`]); each has a tag
//! in `system.processes` by which its statement can be killed, because the engine does not honour `query_id`.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};

use horolog_schemas::migrate::literal;
use parking_lot::Mutex;

use super::exception::Exception;
use super::ffi::{Connection, Library};

/// Idle connections kept; opening one costs 0.1 ms, so this only has to cover a service's usual few sessions.
const IDLE_MAX: usize = 32;
/// The setting that carries the tag: a label of the query cache, which this engine does not have, and so the only
/// string setting without an effect.
const TAG_SETTING: &str = "query_cache_tag";
/// Settings that differ with every statement: a connection with one of these would never be asked for again.
const SINGLE_USE: &[&str] = &["insert_deduplication_token", "log_comment"];

/// What distinguishes sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The current database.
    pub database: Option<String>,
    /// Settings beyond the engine's defaults.
    pub settings: BTreeMap<String, String>,
}

/// Opens, lends and takes back connections.
pub struct Pool {
    library: Library,
    arguments: Vec<String>,
    idle: Mutex<VecDeque<Session>>,
    control: Mutex<Option<Connection>>,
    opened: AtomicU64,
}

struct Session {
    key: Key,
    tag: String,
    connection: Connection,
}

impl Pool {
    /// Starts the engine: its first connection stays open until [`Pool::close`] and is the one that kills statements.
    pub fn start(library: Library, arguments: Vec<String>) -> Result<Self, Exception> {
        let control = library.connect(&arguments)?;
        Ok(Self {
            library,
            arguments,
            idle: Mutex::default(),
            control: Mutex::new(Some(control)),
            opened: AtomicU64::new(0),
        })
    }

    /// A connection with this database and these settings.
    pub fn lease(&self, key: Key) -> Result<Lease<'_>, Exception> {
        let mut idle = self.idle.lock();
        let found = idle
            .iter()
            .rposition(|session| session.key == key)
            .and_then(|at| idle.remove(at));
        drop(idle);
        let session = found.map_or_else(|| self.open(key), Ok)?;
        Ok(Lease { pool: self, session })
    }

    fn open(&self, key: Key) -> Result<Session, Exception> {
        let connection = self.library.connect(&self.arguments)?;
        let tag = format!("horolog-{}", self.opened.fetch_add(1, Ordering::Relaxed));
        if let Some(database) = &key.database {
            connection.query(format!("use {}", identifier(database)).as_bytes(), "Null", &[])?;
        }
        // readonly comes last, because it can forbid the others.
        let settings = key.settings.iter().filter(|(name, _)| *name != "readonly");
        let readonly = key.settings.get_key_value("readonly");
        let mut assignments = format!("{TAG_SETTING} = {}", literal(&tag));
        for (name, value) in settings.chain(readonly) {
            assignments.push_str(&format!(", {} = {}", identifier(name), literal(value)));
        }
        connection.query(format!("set {assignments}").as_bytes(), "Null", &[])?;
        Ok(Session { key, tag, connection })
    }

    /// Runs a statement of the front's own.
    pub fn control(&self, sql: &str, format: &str) -> Result<Vec<u8>, Exception> {
        match &*self.control.lock() {
            Some(connection) => Ok(connection.query(sql.as_bytes(), format, &[])?.as_ref().to_vec()),
            None => Ok(Vec::new()),
        }
    }

    /// Asks the engine to stop the statement that runs under a tag; returns before it has stopped.
    pub fn kill(&self, tag: &str) -> Result<(), Exception> {
        let sql = format!("kill query where Settings['{TAG_SETTING}'] = {} async", literal(tag));
        self.control(&sql, "Null").map(drop)
    }

    /// Closes all connections and, with the last one, the engine. Once tables were used, some of its threads stay until
    /// the process ends, so whether `shutdown` joined them says nothing about the data.
    pub fn close(&self) {
        self.idle.lock().clear();
        self.control.lock().take();
        let threads_joined = self.library.shutdown();
        tracing::debug!(threads_joined, "connections closed");
    }
}

/// A connection on loan. Dropped, it is closed: after an error or a control statement its state is not known.
pub struct Lease<'p> {
    pool: &'p Pool,
    session: Session,
}

impl Lease<'_> {
    /// The tag by which [`Pool::kill`] finds its statement.
    pub fn tag(&self) -> &str {
        &self.session.tag
    }

    /// The statement ended well and left nothing behind: the connection may serve the next one.
    pub fn release(self) {
        if SINGLE_USE
            .iter()
            .any(|name| self.session.key.settings.contains_key(*name))
        {
            return;
        }
        let mut idle = self.pool.idle.lock();
        idle.push_back(self.session);
        let evicted = if idle.len() > IDLE_MAX { idle.pop_front() } else { None };
        drop(idle);
        drop(evicted); // closing takes the engine a while: not under the lock
    }
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.session.connection
    }
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_cannot_be_left() {
        assert_eq!(identifier("a`; drop table b"), r"`a\`; drop table b`");
    }
}
