//! `--data DIR`: which stack is meant.

use std::path::PathBuf;

use crate::stack::{DataFolder, FolderError};

/// Set by the start script to the folder that it lies in.
pub const HOME_VARIABLE: &str = "HOROLOG_HOME";

/// Which stack is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct DataOption {
    /// Folder with all data of the stack [default: .horolog beside the start script]
    #[arg(long, value_name = "DIR", env = "HOROLOG_DATA")]
    pub data: Option<PathBuf>,
}

impl DataOption {
    /// The folder, whether it exists or not.
    pub fn folder(&self) -> Result<DataFolder, FolderError> {
        let path = self.data.clone().unwrap_or_else(|| home().join(".horolog"));
        DataFolder::at(&path)
    }
}

/// The folder of the start script, or the current one.
pub fn home() -> PathBuf {
    std::env::var_os(HOME_VARIABLE).map_or_else(|| PathBuf::from("."), PathBuf::from)
}
