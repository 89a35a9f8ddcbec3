//! Where an export is read from: a folder, or a bucket.
//!
//! Enters: a path, or `s3://BUCKET/PREFIX/ID` with the settings `exports.s3` and the credentials of the reader. Leaves:
//! its files, one at a time: a file of a bucket is downloaded to a temporary file, which is removed after use.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::TryStreamExt;
use tempfile::NamedTempFile;
use tokio::runtime::Handle;

use crate::audit::exports::bucket::config::S3Config;
use crate::audit::exports::bucket::{Bucket, BucketError};

/// The source of an export.
pub enum Source {
    /// A folder.
    Folder(PathBuf),
    /// A bucket, and the name of the export in it.
    Bucket(Box<Bucket>, String, Handle),
}

/// A file that can be read.
pub enum Local {
    /// The original.
    There(PathBuf),
    /// A temporary copy.
    Fetched(NamedTempFile),
}

impl Local {
    /// Its path.
    pub fn path(&self) -> &Path {
        match self {
            Self::There(path) => path,
            Self::Fetched(file) => file.path(),
        }
    }
}

impl Source {
    /// From a path or an address. Reading blocks on `runtime`.
    pub fn new(
        export: &str,
        settings: impl FnOnce() -> anyhow::Result<S3Config>,
        runtime: Handle,
    ) -> anyhow::Result<Self> {
        let Some(address) = export.strip_prefix("s3://") else {
            return Ok(Self::Folder(PathBuf::from(export)));
        };
        let form = "must be a folder or s3://BUCKET/PREFIX/ID";
        let (bucket, path) = address.trim_end_matches('/').split_once('/').context(form)?;
        let (prefix, id) = path.rsplit_once('/').unwrap_or(("", path));
        let settings = S3Config {
            bucket: Some(bucket.to_owned()),
            prefix: prefix.to_owned(),
            ..settings()?
        };
        let bucket = Bucket::new(&settings)?.context(form)?;
        Ok(Self::Bucket(Box::new(bucket), id.to_owned(), runtime))
    }

    /// Name of its folder.
    pub fn folder_name(&self) -> io::Result<Option<String>> {
        match self {
            // Also if it is given as `.`.
            Self::Folder(folder) => {
                let path = folder.canonicalize()?;
                Ok(path.file_name().map(|name| name.to_string_lossy().into_owned()))
            }
            Self::Bucket(_, id, _) => Ok(Some(id.clone())),
        }
    }

    /// The names of its files.
    pub fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(folder) => {
                let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
                fs::read_dir(folder)?.map(name).collect()
            }
            Self::Bucket(bucket, id, runtime) => Ok(runtime.block_on(bucket.names(id))?),
        }
    }

    /// Opens a file. Its name is a stranger's, so it must be a plain file name.
    pub fn open(&self, name: &str) -> io::Result<Local> {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file"));
        }
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                // A pipe or a device has no end, and what a link names may be elsewhere tomorrow.
                if !fs::symlink_metadata(&path)?.is_file() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "not a file but a link, a folder or a device",
                    ));
                }
                Ok(Local::There(path))
            }
            Self::Bucket(bucket, id, runtime) => {
                let mut file = NamedTempFile::new()?;
                runtime.block_on(fetch(bucket, id, name, file.as_file_mut()))?;
                Ok(Local::Fetched(file))
            }
        }
    }

    /// The bytes of a small file.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.open(name)?.path())
    }

    /// The bytes of a small file that is optional in an export.
    pub fn read_if_there(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.read(name) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn fetch(bucket: &Bucket, id: &str, name: &str, to: &mut File) -> io::Result<()> {
    let bytes = bucket.size(id, name).await.map_err(not_found)?;
    let mut content = bucket.read(id, name, 0..bytes).await?;
    while let Some(chunk) = content.try_next().await? {
        to.write_all(&chunk)?;
    }
    Ok(())
}

fn not_found(error: BucketError) -> io::Error {
    match error {
        BucketError::NotFound(_) => io::ErrorKind::NotFound.into(),
        error => error.into(),
    }
}
