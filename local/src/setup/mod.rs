//! Set-up: the programs and the pinned artifacts that one machine needs, found or fetched.
//!
//! Enters: nothing but the machine. Leaves: [`Kit`], the paths of Java, Kafka's jars and the ClickHouse engine.
//! Guarantees: what is used is what was pinned, byte by byte; an interrupted fetch leaves nothing half installed; a
//! second run needs no network. Never does: install a distribution package unless it is root.

mod artifact;
mod clickhouse;
mod fetch;
mod kafka;
mod packages;
mod programs;

use std::path::PathBuf;

pub use packages::{MissingPackages, Package, require};
pub use programs::browser;

/// What the local stack is made of.
#[derive(Debug, Clone)]
pub struct Kit {
    /// The `java` program, 17 or newer.
    pub java: PathBuf,
    /// Folder with Kafka's jars.
    pub kafka_jars: PathBuf,
    /// `libchdb.so`.
    pub engine_library: PathBuf,
}

/// Why the set-up cannot be completed.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Programs are missing and cannot be installed from here.
    #[error(transparent)]
    Packages(#[from] MissingPackages),
    /// An artifact cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::FetchError),
    /// An artifact is not what was pinned, or cannot be put into place.
    #[error(transparent)]
    Artifact(#[from] artifact::ArtifactError),
    /// No engine for this processor.
    #[error(
        "there is no embedded ClickHouse engine for {0}; run the services one by one with a ClickHouse server (see the README)"
    )]
    Architecture(&'static str),
    /// No place for the cache.
    #[error("neither XDG_CACHE_HOME nor HOME is set: set one, the broker and the engine are stored there")]
    NoCache,
}

impl Kit {
    /// Finds or fetches everything. Progress goes to standard error.
    pub fn prepare() -> Result<Self, SetupError> {
        let kafka_folder = std::env::var_os(KAFKA_LIBS_VARIABLE).map(absolute);
        let library = std::env::var_os(ENGINE_LIBRARY_VARIABLE).map(absolute);
        let kafka = kafka::artifact(&cache()?);
        let engine = clickhouse::artifact(&cache()?)?;
        let mut needs = vec![Package::Java];
        if kafka_folder.is_none() && !kafka.is_installed() {
            needs.push(Package::Maven);
        }
        if library.is_none() && !engine.is_installed() {
            needs.push(Package::Npm);
        }
        packages::require(&needs)?;
        Ok(Self {
            java: absolute(programs::java().ok_or_else(|| MissingPackages::of(&[Package::Java]))?),
            kafka_jars: match kafka_folder {
                Some(folder) => folder,
                None => kafka.install(kafka::fetch)?,
            },
            engine_library: match library {
                Some(library) => library,
                None => engine.install(clickhouse::fetch)?.join(clickhouse::LIBRARY),
            },
        })
    }
}

/// Names a folder of jars to use instead of the pinned ones.
pub const KAFKA_LIBS_VARIABLE: &str = "HOROLOG_KAFKA_LIBS";
/// Names a `libchdb.so` to use instead of the pinned one.
pub const ENGINE_LIBRARY_VARIABLE: &str = "HOROLOG_ENGINE_LIBRARY";

/// Absolute, because child processes run in other folders. Stays as it is when the current folder is unknown.
fn absolute(path: impl Into<PathBuf>) -> PathBuf {
    let path = path.into();
    std::path::absolute(&path).unwrap_or(path)
}

fn cache() -> Result<PathBuf, SetupError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(absolute);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|folder| folder.join("horolog"))
        .ok_or(SetupError::NoCache)
}
