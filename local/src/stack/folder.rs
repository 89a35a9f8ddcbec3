//! The data folder of a local stack, and what lies where in it.
//!
//! Everything that a stack keeps is in here: removing the folder removes the stack. A folder is ours when it holds the
//! marker; `wipe` touches no other.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::distr::{Alphanumeric, SampleString};

/// Length of the generated password.
const PASSWORD_CHARS: usize = 32;
/// Written into the folder when it is made.
const MARKER: &str = "horolog-data";
/// Files that are there while what they are named after is remembered.
const KEEP_ALL: &str = "keep-all";
const NO_SAMPLE: &str = "no-sample";

/// The data folder.
#[derive(Debug, Clone)]
pub struct DataFolder(PathBuf);

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file system refused.
    #[error("--data: {path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something else lives there.
    #[error("--data {0}: the folder is not empty and was not created by horolog; choose another")]
    Foreign(PathBuf),
    /// A stack runs on it.
    #[error("--data {0}: a stack is running on it")]
    InUse(PathBuf),
}

/// Held for as long as a stack runs on a folder; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "held, not used")] File);

impl DataFolder {
    /// The folder at this path, whether it exists or not.
    pub fn at(path: &Path) -> Result<Self, FolderError> {
        let absolute = std::path::absolute(path).map_err(io(path))?;
        // Without the trailing slash that a shell completes: with it, a link is taken for the folder it points to.
        Ok(Self(absolute.components().collect()))
    }

    /// Makes it, when it does not exist. A foreign folder is refused.
    pub fn create(&self) -> Result<(), FolderError> {
        std::fs::create_dir_all(&self.0).map_err(io(&self.0))?;
        if self.is_ours() {
            return Ok(());
        }
        if std::fs::read_dir(&self.0).map_err(io(&self.0))?.next().is_some() {
            return Err(FolderError::Foreign(self.0.clone()));
        }
        let marker = self.0.join(MARKER);
        std::fs::write(&marker, "All data of a local Horolog. `horolog wipe` removes it.\n").map_err(io(&marker))
    }

    /// Whether it was made by [`Self::create`].
    pub fn is_ours(&self) -> bool {
        self.0.join(MARKER).exists()
    }

    /// Claims the folder for this process.
    pub fn lock(&self) -> Result<FolderLock, FolderError> {
        let path = self.0.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock(file)),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(io(&path)(source)),
        }
    }

    /// Whether some process has claimed it.
    pub fn is_locked(&self) -> bool {
        let Ok(file) = File::open(self.0.join("lock")) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// The password file of the store, with a password generated when there is none yet.
    pub fn ensure_password(&self) -> Result<PathBuf, FolderError> {
        let path = self.password_file();
        if path.exists() {
            return Ok(path);
        }
        let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_CHARS);
        // Written under another name first: a password that a crash cut off would be kept for ever.
        let incoming = path.with_extension("incoming");
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&incoming)
            .map_err(io(&incoming))?;
        file.write_all(password.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io(&incoming))?;
        std::fs::rename(&incoming, &path).map_err(io(&path))?;
        Ok(path)
    }

    /// Whether nothing is to be deleted by age, as last remembered.
    pub fn keeps_all(&self) -> bool {
        self.0.join(KEEP_ALL).exists()
    }

    /// Remembers it for later starts: one that forgot it would delete the history that it was set for.
    pub fn remember_keep_all(&self, keep_all: bool) -> Result<(), FolderError> {
        self.remember(KEEP_ALL, keep_all)
    }

    /// Whether there is to be no sample stream, as last remembered.
    pub fn has_no_sample(&self) -> bool {
        self.0.join(NO_SAMPLE).exists()
    }

    /// Remembers it for later starts: one that forgot it would put samples among the user's own records, for good.
    pub fn remember_no_sample(&self, no_sample: bool) -> Result<(), FolderError> {
        self.remember(NO_SAMPLE, no_sample)
    }

    fn remember(&self, name: &str, is_so: bool) -> Result<(), FolderError> {
        let path = self.0.join(name);
        let remembered = if is_so {
            std::fs::write(&path, "")
        } else if path.exists() {
            std::fs::remove_file(&path)
        } else {
            Ok(())
        };
        remembered.map_err(io(&path))
    }

    /// Removes it with everything in it; if it is a link, both the link and what it points to. The marker is removed
    /// after the data, so that an interrupted removal can be repeated. A folder that cannot be removed, such as a mount
    /// point, is left empty.
    pub fn remove(&self) -> Result<(), FolderError> {
        let folder = std::fs::canonicalize(&self.0).map_err(io(&self.0))?;
        for entry in std::fs::read_dir(&folder).map_err(io(&folder))? {
            let entry = entry.map_err(io(&folder))?;
            if entry.file_name() == MARKER {
                continue;
            }
            let path = entry.path();
            let removed = match entry.file_type() {
                Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(error) => Err(error),
            };
            removed.map_err(io(&path))?;
        }
        let marker = folder.join(MARKER);
        std::fs::remove_file(&marker).map_err(io(&marker))?;
        match std::fs::remove_dir(&folder) {
            Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::PermissionDenied) => {}
            removed => removed.map_err(io(&folder))?,
        }
        if self.0.is_symlink() {
            std::fs::remove_file(&self.0).map_err(io(&self.0))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The broker's records and configuration.
    pub fn kafka(&self) -> PathBuf {
        self.0.join("kafka")
    }

    /// The store's tables.
    pub fn clickhouse(&self) -> PathBuf {
        self.0.join("clickhouse")
    }

    /// Readable by its owner alone.
    pub fn password_file(&self) -> PathBuf {
        self.0.join("clickhouse-password")
    }

    /// Audit exports, until their requesters fetch or remove them.
    pub fn exports(&self) -> PathBuf {
        self.0.join("exports")
    }

    /// The keys for the query API, each in a file of its name, readable by their owner alone.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// One of them; `None` while it has not been made.
    pub fn key(&self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.keys().join(name)).ok()?;
        Some(text.trim_end().to_owned())
    }

    /// All logs.
    pub fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }

    /// The log of one process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// What the supervisor says about the stack.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_folder_is_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(temporary.path().join("thesis.tex"), "").unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        assert!(matches!(folder.create(), Err(FolderError::Foreign(_))));
        assert!(!folder.is_ours());
    }

    #[test]
    fn of_a_link_to_a_larger_disk_data_and_link_are_removed_and_nothing_beside_them() {
        let temporary = tempfile::tempdir().unwrap();
        let (disk, link) = (temporary.path().join("disk"), temporary.path().join("link"));
        std::fs::create_dir(&disk).unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        let folder = DataFolder::at(&link.join("")).unwrap();
        folder.create().unwrap();
        std::fs::create_dir(folder.kafka()).unwrap();
        std::fs::write(folder.kafka().join("log"), "records").unwrap();
        let elsewhere = temporary.path().join("thesis.tex");
        std::fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, disk.join("a-link")).unwrap();
        folder.remove().unwrap();
        assert!(!disk.exists() && !link.is_symlink());
        assert!(elsewhere.exists());
    }

    #[test]
    fn a_folder_that_the_system_does_not_let_go_is_left_empty() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let allow = |mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(temporary.path(), permissions).unwrap();
        };
        let folder = DataFolder::at(&temporary.path().join("disk")).unwrap();
        folder.create().unwrap();
        folder.remember_keep_all(true).unwrap();
        allow(0o500); // root may still remove it
        folder.remove().unwrap();
        allow(0o700);
        folder.create().unwrap();
        assert!(!folder.keeps_all());
    }

    #[test]
    fn the_password_is_kept_and_is_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        let path = folder.ensure_password().unwrap();
        let password = std::fs::read_to_string(&path).unwrap();
        assert_eq!(password.len(), PASSWORD_CHARS);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_to_string(folder.ensure_password().unwrap()).unwrap(),
            password
        );
    }

    #[test]
    fn each_option_is_remembered_until_it_is_ended() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        assert!(!folder.keeps_all() && !folder.has_no_sample());
        let kept = [true, true, false, false].map(|keep_all| {
            folder.remember_keep_all(keep_all).unwrap();
            folder.remember_no_sample(!keep_all).unwrap();
            (folder.keeps_all(), folder.has_no_sample())
        });
        assert_eq!(kept, [(true, false), (true, false), (false, true), (false, true)]);
    }

    #[test]
    fn two_cannot_claim_one_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(temporary.path()).unwrap();
        let lock = folder.lock().unwrap();
        assert!(folder.is_locked());
        assert!(matches!(folder.lock(), Err(FolderError::InUse(_))));
        drop(lock);
        assert!(!folder.is_locked());
    }
}
