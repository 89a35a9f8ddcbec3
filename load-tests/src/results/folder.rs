//! The results folder: created before the run starts, filled while it runs, completed at its end.
//!
//! A folder that exists is refused, so that results are never mixed. Guarantees: a crash does not lose what was logged
//! before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::latencies::Latencies;
use crate::recorder::{Interval, Measure};

use super::figures::Results;
use super::hgrm::hgrm;
use super::hlog::{LogError, LogWriter, read_log};
use super::{html, junit};

const JSON: &str = "results.json";

/// A results folder being filled.
pub struct ResultsFolder {
    path: PathBuf,
    begun: SystemTime,
    logs: BTreeMap<Measure, LogWriter<BufWriter<File>>>,
}

/// Why results cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The folder exists already.
    #[error("--results {0}: it already exists; name a new folder")]
    Exists(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not results of this program, or results of another release.
    #[error("{path}: not results of this program: {reason}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A log cannot be read.
    #[error("{path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LogError,
    },
}

type Result<T> = std::result::Result<T, ResultsError>;

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ResultsError {
    |source| ResultsError::Io {
        path: path.to_owned(),
        source,
    }
}

impl ResultsFolder {
    /// Creates the folder.
    pub fn create(path: &Path) -> Result<Self> {
        if path.exists() {
            return Err(ResultsError::Exists(path.to_owned()));
        }
        std::fs::create_dir_all(path).map_err(io(path))?;
        Ok(Self {
            path: path.to_owned(),
            begun: SystemTime::now(),
            logs: BTreeMap::new(),
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets the start of the run.
    pub fn begin(&mut self, begun: SystemTime) {
        self.begun = begun;
    }

    /// Adds an interval of a measure to its log.
    pub fn log(&mut self, measure: Measure, interval: &Interval) -> Result<()> {
        let path = self.path.join(format!("{measure}.hlog"));
        let log = match self.logs.entry(measure) {
            std::collections::btree_map::Entry::Occupied(log) => log.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => {
                let file = BufWriter::new(File::create_new(&path).map_err(io(&path))?);
                place.insert(LogWriter::new(file, measure.title(), self.begun).map_err(io(&path))?)
            }
        };
        log.write(interval).map_err(io(&path))
    }

    /// Writes the final results.
    pub fn complete(&self, results: &Results, totals: &BTreeMap<Measure, Latencies>) -> Result<()> {
        for (measure, latencies) in totals {
            self.write(&format!("{measure}.hgrm"), &hgrm(latencies.histogram()))?;
        }
        let json = serde_json::to_string_pretty(results).map_err(|error| ResultsError::Foreign {
            path: self.path.join(JSON),
            reason: error.to_string(),
        })?;
        self.write(JSON, &json)?;
        self.write("junit.xml", &junit::junit(results))?;
        self.write("report.html", &html::report(results, totals))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        std::fs::write(&path, text).map_err(io(&path))
    }
}

impl Results {
    /// Reads a results folder, or its `results.json`.
    pub fn read(path: &Path) -> Result<Self> {
        let path = if path.is_dir() {
            path.join(JSON)
        } else {
            path.to_owned()
        };
        let text = std::fs::read_to_string(&path).map_err(io(&path))?;
        let foreign = |reason: String| ResultsError::Foreign {
            path: path.clone(),
            reason,
        };
        let results: Self = serde_json::from_str(&text).map_err(|error| foreign(error.to_string()))?;
        if results.format != Self::FORMAT {
            return Err(foreign(format!(
                "its format is {}, not {}",
                results.format,
                Self::FORMAT
            )));
        }
        Ok(results)
    }
}

/// All measures of a results folder, from its logs.
pub fn read_latencies(folder: &Path) -> Result<BTreeMap<Measure, Latencies>> {
    let mut found = BTreeMap::new();
    for measure in Measure::ALL {
        let path = folder.join(format!("{measure}.hlog"));
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(io(&path)(error)),
            Ok(text) => {
                let latencies = read_log(&text).map_err(|source| ResultsError::Log { path, source })?;
                found.insert(measure, latencies);
            }
        }
    }
    Ok(found)
}
