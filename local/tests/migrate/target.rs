//! A test's database in the shared engine, and `horolog-migrate` on it.

use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use clickhouse::{Client, RowOwned, RowRead};

use crate::bed::{Bed, BedOptions, HOROLOG};

/// How a run of `horolog-migrate` ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Its lines on standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// Panics unless it succeeded.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Panics unless it failed with one line that contains `reason`.
    #[track_caller]
    pub fn refused(self, reason: &str) {
        assert_eq!(self.code, 2, "{self:?}");
        assert!(self.stderr.contains(reason), "expected {reason:?} in {self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A database name that no other test uses.
pub struct Target {
    pub database: String,
    bed: &'static Bed,
}

impl Target {
    /// An empty one.
    pub fn new() -> Self {
        static BED: OnceLock<Bed> = OnceLock::new();
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let options = BedOptions {
            migrate: false,
            ..BedOptions::default()
        };
        Self {
            database: format!("migrate_{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            bed: BED.get_or_init(|| Bed::start_with(&options)),
        }
    }

    /// One with all migrations.
    pub fn migrated() -> Self {
        let target = Self::new();
        target.migrate(&["up"]).done();
        target
    }

    /// The command, ready to run on the database.
    pub fn command(&self, args: &[&str]) -> Command {
        let layout = self.bed.layout();
        let mut command = Command::new(std::path::Path::new(HOROLOG).with_file_name("horolog-migrate"));
        command
            .args(args)
            .args(["--url", &layout.clickhouse_url(), "--database", &self.database])
            .arg("--password-file")
            .arg(layout.folder.password_file());
        command
    }

    /// Runs `horolog-migrate` with these arguments.
    pub fn migrate(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// The lines of `check`, which are none where there is no difference.
    pub fn check(&self) -> Vec<String> {
        let run = self.migrate(&["check"]);
        match run.code {
            0 => Vec::new(),
            1 => run.stdout.lines().map(str::to_owned).collect(),
            _ => panic!("{run:?}"),
        }
    }

    /// A client with the database.
    pub fn client(&self) -> Client {
        self.bed.clickhouse().with_database(&self.database)
    }

    /// Waits for a future.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.bed.block_on(future)
    }

    /// Runs a statement.
    #[track_caller]
    pub fn execute(&self, statement: &str) {
        let done = self.block_on(self.client().query_raw(statement).execute());
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// All rows of a query.
    #[track_caller]
    pub fn rows<T: RowOwned + RowRead>(&self, query: &str) -> Vec<T> {
        let rows = self.block_on(self.client().query_raw(query).fetch_all::<T>());
        rows.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// The one row of a query.
    #[track_caller]
    pub fn one<T: RowOwned + RowRead>(&self, query: &str) -> T {
        self.rows(query).pop().unwrap_or_else(|| panic!("no row: {query}"))
    }

    /// Tables and views of the database, by name.
    pub fn tables(&self) -> Vec<String> {
        self.rows(&format!(
            "select name from system.tables where database = '{}' order by name",
            self.database
        ))
    }
}
