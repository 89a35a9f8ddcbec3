//! Where the bytes of a file go: the folder, or a bucket.
//!
//! Guarantees: a file has its name only when it is complete and durable. One that is dropped earlier leaves nothing in
//! the folder; in a bucket it leaves a note, with which [`super::shelf::Shelf::sweep`] aborts the upload.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::bucket::Upload;
use super::shelf;

/// An unfinished file.
pub enum Sink {
    /// On disk.
    Disk(Disk),
    /// Being uploaded to a bucket.
    Bucket(Box<Upload>),
}

impl Sink {
    /// Gives it its name.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::Disk(disk) => disk.finish(),
            Self::Bucket(upload) => upload.finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Disk(disk) => disk.file.write(bytes),
            Self::Bucket(upload) => upload.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Disk(disk) => disk.file.flush(),
            Self::Bucket(upload) => upload.flush(),
        }
    }
}

/// A file under a temporary name.
pub struct Disk {
    file: File,
    temporary: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Disk {
    /// A file that is written as `temporary` and becomes `folder/name`, on the same file system.
    pub fn create(temporary: PathBuf, folder: &Path, name: &str) -> io::Result<Self> {
        Ok(Self {
            file: File::create(&temporary)?,
            temporary,
            folder: folder.to_owned(),
            name: name.to_owned(),
        })
    }

    /// Writes all of it at once.
    pub fn write_whole(mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.finish()
    }

    fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, self.folder.join(&self.name))?;
        shelf::sync(&self.folder)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.temporary); // frees a full disk; already gone if the file has its name
    }
}
