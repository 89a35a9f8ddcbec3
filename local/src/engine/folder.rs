//! The data folder: made on the first start, held by one engine at a time.
//!
//! Enters: its path. Leaves: a lock that lasts as long as the process, and the engine's configuration files in it.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::config;

const LOCK: &str = "engine.lock";
const FOLDERS: [&str; 4] = ["hot", "cold", "backups", "log"];

/// A data folder that is ours.
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes it if need be and locks it; the system releases the lock when the process ends, however it ends.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let named = || format!("cannot use --data {}", path.display());
        let private = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(path).with_context(named)?;
        let path = path.canonicalize().with_context(named)?;
        let lock = lock(&path)?;
        for folder in FOLDERS {
            private(&path.join(folder)).with_context(named)?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Writes the engine's configuration; returns the arguments it starts with.
    pub fn configure(&self, memory_bytes: u64) -> anyhow::Result<Vec<String>> {
        let file = self.path.join("config.xml");
        let write = |file: &Path, text: String| {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
        };
        write(&file, config::server(&self.path, memory_bytes))?;
        write(&self.path.join("users.xml"), config::users())?;
        Ok(vec![
            format!("--path={}", self.path.display()),
            format!("--config-file={}", file.display()),
        ])
    }

    /// Where the engine says why it did not start.
    pub fn log(&self) -> PathBuf {
        self.path.join("log").join("engine.log")
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let name = path.join(LOCK);
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .with_context(|| format!("cannot open {}", name.display()))?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder); // best effort: it only adds to the message
            anyhow::bail!(
                "--data {} is in use by another engine (process {holder}): stop it or choose another folder",
                path.display()
            )
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", name.display())),
    }
}
