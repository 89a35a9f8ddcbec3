//! Where exports are stored. In the folder: `ID/` with the finished files, `.jobs/ID/` with the state of each export.
//! If a bucket is configured, the files of new exports go there instead, and the folder keeps their state.
//!
//! Enters: jobs and finished files. Leaves: the same, also after a crash. Guarantees: a file with its final name is
//! complete and durable; one process per folder; an upload that a crash interrupted is aborted. Never writes outside
//! folder and prefix.

use std::fs::{self, DirBuilder, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{BoxStream, try_unfold};
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::bucket::{Bucket, BucketError, Upload};
use super::job::Job;
use super::sink::{Disk, Sink};

const JOBS: &str = ".jobs";
const JOB_FILE: &str = "job.json";
/// An export's state while it is written. Not a temporary file: a run that sweeps those may be on another thread than a
/// change of the state.
const NEW_JOB_FILE: &str = "job.json.new";
/// Suffix of files that are not finished.
const TEMPORARY: &str = "tmp";
/// Suffix of files with the id of an unfinished upload.
const NOTE: &str = "upload";
/// Bytes read from a file at a time.
const READ_BYTES: usize = 256 << 10;

/// Bytes of a file, in order.
pub type Content = BoxStream<'static, io::Result<Bytes>>;

/// The folder and the bucket.
#[derive(Debug)]
pub struct Shelf {
    root: PathBuf,
    bucket: Option<Bucket>,
    _lock: File,
}

impl Shelf {
    /// Opens a folder, creating it if necessary, for this user alone. Fails while another process uses it.
    pub fn open(root: &Path, bucket: Option<Bucket>) -> io::Result<Self> {
        // Its files hold what people may see only through this service.
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        fs::create_dir_all(root.join(JOBS))?;
        let lock = File::options().create(true).append(true).open(root.join(".lock"))?;
        lock.try_lock()
            .map_err(|_| io::Error::other("another process uses this folder"))?;
        Ok(Self {
            root: root.to_owned(),
            bucket,
            _lock: lock,
        })
    }

    /// Bucket and prefix for the files of new exports; `None` if they stay in the folder.
    pub fn bucket_url(&self) -> Option<&str> {
        self.bucket.as_ref().map(Bucket::url)
    }

    /// Folder for the state and unfinished files of an export.
    pub fn work(&self, id: Uuid) -> PathBuf {
        self.root.join(JOBS).join(id.to_string())
    }

    /// Creates the folders of an export.
    pub async fn prepare(&self, job: &Job) -> io::Result<()> {
        let files = job.bucket.is_none().then(|| self.files(job.id));
        let (work, root) = (self.work(job.id), self.root.clone());
        off_thread(move || {
            files.map_or(Ok(()), fs::create_dir_all)?;
            fs::create_dir_all(work)?;
            sync(&root)?;
            sync(&root.join(JOBS))
        })
        .await
    }

    /// Removes unfinished files, here and in the bucket.
    pub async fn sweep(&self, job: &Job) -> io::Result<()> {
        let mut entries = match tokio::fs::read_dir(self.work(job.id)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        while let Some(entry) = entries.next_entry().await? {
            match self.sweep_file(job, &entry.path()).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // already gone
                swept => swept?,
            }
        }
        Ok(())
    }

    async fn sweep_file(&self, job: &Job, path: &Path) -> io::Result<()> {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension == Some(NOTE)
            && let Some(bucket) = self.bucket_of(job)?
        {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let upload = tokio::fs::read_to_string(path).await?;
            bucket.abort(&job.id.to_string(), &name, &upload).await?;
        }
        match [Some(NOTE), Some(TEMPORARY)].contains(&extension) {
            true => tokio::fs::remove_file(path).await,
            false => Ok(()),
        }
    }

    /// All known exports. One whose state cannot be read is skipped with an error in the log, and left as it is.
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

    /// Writes the state of an export. Blocks.
    pub fn save(&self, job: &Job) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(job).map_err(io::Error::other)?;
        let work = self.work(job.id);
        Disk::create(work.join(NEW_JOB_FILE), &work, JOB_FILE)?.write_whole(&bytes)
    }

    /// Begins a file of an export. Writing to it may block, so do so on a blocking thread.
    pub fn create(&self, job: &Job, name: &str) -> io::Result<Sink> {
        Ok(match self.bucket_of(job)? {
            None => Sink::Disk(Disk::create(self.temporary(job.id, name), &self.files(job.id), name)?),
            Some(bucket) => {
                let note = self.work(job.id).join(format!("{name}.{NOTE}"));
                let upload = Upload::new(bucket, &job.id.to_string(), name, note, Handle::current());
                Sink::Bucket(Box::new(upload))
            }
        })
    }

    /// Adds a small file to an export.
    pub async fn add(&self, job: &Job, name: &str, bytes: Vec<u8>) -> io::Result<()> {
        match self.bucket_of(job)? {
            None => {
                let (temporary, folder, name) = (self.temporary(job.id, name), self.files(job.id), name.to_owned());
                off_thread(move || Disk::create(temporary, &folder, &name)?.write_whole(&bytes)).await
            }
            Some(bucket) => Ok(bucket.put(&job.id.to_string(), name, bytes).await?),
        }
    }

    /// The size of a file of an export. Bytes.
    pub async fn size(&self, job: &Job, name: &str) -> io::Result<u64> {
        match self.bucket_of(job)? {
            None => Ok(tokio::fs::metadata(self.files(job.id).join(name)).await?.len()),
            Some(bucket) => Ok(bucket.size(&job.id.to_string(), name).await?),
        }
    }

    /// A range of a file of an export.
    pub async fn read(&self, job: &Job, name: &str, range: Range<u64>) -> io::Result<Content> {
        if let Some(bucket) = self.bucket_of(job)? {
            let content = bucket.read(&job.id.to_string(), name, range).await?;
            return Ok(content.map_err(io::Error::from).boxed());
        }
        let mut file = tokio::fs::File::open(self.files(job.id).join(name)).await?;
        file.seek(SeekFrom::Start(range.start)).await?;
        let rest = file.take(range.end - range.start);
        let next = |mut rest: tokio::io::Take<tokio::fs::File>| async move {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            let read = rest.read_buf(&mut bytes).await?;
            Ok((read > 0).then(|| (Bytes::from(bytes), rest)))
        };
        Ok(try_unfold(rest, next).boxed())
    }

    /// Removes an export. Its state goes last: after a crash the removal is repeated.
    pub async fn remove(&self, job: &Job) -> io::Result<()> {
        self.sweep(job).await?;
        if let Some(bucket) = self.bucket_of(job)? {
            bucket.remove(&job.id.to_string()).await?;
        }
        for folder in [self.files(job.id), self.work(job.id)] {
            match tokio::fs::remove_dir_all(&folder).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let root = self.root.clone();
        off_thread(move || sync(&root)).await
    }

    /// Whether the storage of an export, folder or bucket, is available to this process.
    pub fn reaches(&self, job: &Job) -> bool {
        self.bucket_of(job).is_ok()
    }

    /// The bucket that an export is in; `None` if it is in the folder.
    fn bucket_of(&self, job: &Job) -> Result<Option<&Bucket>, BucketError> {
        let Some(url) = &job.bucket else { return Ok(None) };
        let configured = self.bucket.as_ref().filter(|bucket| bucket.url() == url);
        configured.map(Some).ok_or_else(|| BucketError::Elsewhere(url.clone()))
    }

    fn files(&self, id: Uuid) -> PathBuf {
        self.root.join(id.to_string())
    }

    fn temporary(&self, id: Uuid, name: &str) -> PathBuf {
        self.work(id).join(format!("{name}.{TEMPORARY}"))
    }
}

/// Runs disk I/O on a blocking thread.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Makes the entries of a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::job::tests::job;
    use super::*;

    #[tokio::test]
    async fn an_export_that_is_ended_while_its_run_sweeps_is_saved_and_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (shelf, job) = (Arc::new(Shelf::open(folder.path(), None).unwrap()), job());
        shelf.prepare(&job).await.unwrap();
        let saving = tokio::task::spawn_blocking({
            let (shelf, job) = (Arc::clone(&shelf), job.clone());
            move || (0..200).try_for_each(|_| shelf.save(&job))
        });
        while !saving.is_finished() {
            shelf.sweep(&job).await.unwrap();
        }
        saving.await.unwrap().unwrap();
        assert_eq!(shelf.load().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_gone_already_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (shelf, job) = (Shelf::open(folder.path(), None).unwrap(), job());
        shelf.prepare(&job).await.unwrap();
        for number in 0..100 {
            fs::write(shelf.temporary(job.id, &number.to_string()), "").unwrap();
        }
        let (one, other) = tokio::join!(shelf.sweep(&job), shelf.sweep(&job));
        one.unwrap();
        other.unwrap();
        assert_eq!(fs::read_dir(shelf.work(job.id)).unwrap().count(), 0);
    }
}
