//! The folder that exports lie in: `ID/` with the files that are handed over, `.jobs/ID/` with what is known of each.
//!
//! Enters: jobs and finished files. Leaves: them again after a crash. Guarantees: what has a final name is complete and
//! durable (written under another name, fsync, rename, fsync of the folder); one process a folder. Never writes outside it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::job::Job;

const JOBS: &str = ".jobs";
const JOB_FILE: &str = "job.json";

/// The folder.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
    _lock: File,
}

impl Shelf {
    /// Opens a folder, and makes it where it is not there. Fails while another process has it.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join(JOBS))?;
        let lock = File::options().create(true).append(true).open(root.join(".lock"))?;
        lock.try_lock()
            .map_err(|_| io::Error::other("another process has this folder"))?;
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    /// Where the files of an export lie.
    pub fn files(&self, id: Uuid) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// Where an export under way keeps what is not handed over.
    pub fn work(&self, id: Uuid) -> PathBuf {
        self.root.join(JOBS).join(id.to_string())
    }

    /// Makes the folders of an export, and removes what a crash left half written.
    pub fn prepare(&self, id: Uuid) -> io::Result<()> {
        fs::create_dir_all(self.files(id))?;
        fs::create_dir_all(self.work(id))?;
        for entry in fs::read_dir(self.work(id))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "tmp") {
                fs::remove_file(path)?;
            }
        }
        sync(&self.root)?;
        sync(&self.root.join(JOBS))
    }

    /// Every export that is known. One whose state cannot be read is passed over, loudly, and left as it is.
    pub fn load(&self) -> io::Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for entry in fs::read_dir(self.root.join(JOBS))? {
            let path = entry?.path().join(JOB_FILE);
            let job = fs::read(&path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
            match job {
                Ok(job) => jobs.push(job),
                Err(error) => tracing::error!(path = %path.display(), %error, "an export's state cannot be read"),
            }
        }
        Ok(jobs)
    }

    /// Writes what is known of an export.
    pub fn save(&self, job: &Job) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(job).map_err(io::Error::other)?;
        self.write(job.id, &self.work(job.id), JOB_FILE, &bytes)
    }

    /// Adds a small file to an export.
    pub fn add(&self, id: Uuid, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(id, &self.files(id), name, bytes)
    }

    /// Where a file is written before it has its name.
    pub fn temporary(&self, id: Uuid, name: &str) -> PathBuf {
        self.work(id).join(format!("{name}.tmp"))
    }

    /// Gives a file that was written and synchronised its name.
    pub fn publish(&self, id: Uuid, name: &str) -> io::Result<()> {
        rename(&self.temporary(id, name), &self.files(id), name)
    }

    /// Removes an export. Its state goes last: what a crash leaves is removed again.
    pub fn remove(&self, id: Uuid) -> io::Result<()> {
        for folder in [self.files(id), self.work(id)] {
            match fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        sync(&self.root)
    }

    fn write(&self, id: Uuid, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.temporary(id, name);
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.inspect_err(|_| {
            let _ = fs::remove_file(&temporary); // gives a full disk its room back; the error is told either way
        })?;
        rename(&temporary, folder, name)
    }
}

fn rename(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    fs::rename(from, folder.join(name))?;
    sync(folder)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
