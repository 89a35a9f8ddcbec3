//! Where exports lie. The folder: `ID/` with the files that are handed over, `.jobs/ID/` with what is known of each. Where a
//! bucket is configured, the files of new exports go there instead, and the folder keeps what is known of them.
//!
//! Enters: jobs and finished files. Leaves: them again after a crash. Guarantees: what has a final name is complete and
//! durable; one process a folder; an upload that a crash cut off is given up. Never writes outside folder and prefix.

use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::ops::Range;
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
/// What is known of an export, while it is written. Not a temporary file: whoever changes it and a run that sweeps are not of one thread.
const NEW_JOB_FILE: &str = "job.json.new";
/// What is written and has no name yet.
const TEMPORARY: &str = "tmp";
/// Holds the id of an upload under way.
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
    /// Opens a folder, and makes it where it is not there. Fails while another process has it.
    pub fn open(root: &Path, bucket: Option<Bucket>) -> io::Result<Self> {
        fs::create_dir_all(root.join(JOBS))?;
        let lock = File::options().create(true).append(true).open(root.join(".lock"))?;
        lock.try_lock()
            .map_err(|_| io::Error::other("another process has this folder"))?;
        Ok(Self {
            root: root.to_owned(),
            bucket,
            _lock: lock,
        })
    }

    /// Bucket and prefix that files of new exports go to; `None` where they stay in the folder.
    pub fn bucket_url(&self) -> Option<&str> {
        self.bucket.as_ref().map(Bucket::url)
    }

    /// Where an export under way keeps what is not handed over.
    pub fn work(&self, id: Uuid) -> PathBuf {
        self.root.join(JOBS).join(id.to_string())
    }

    /// Makes the folders of an export.
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

    /// Removes what was left half written, here and in the bucket.
    pub async fn sweep(&self, job: &Job) -> io::Result<()> {
        let mut entries = match tokio::fs::read_dir(self.work(job.id)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read?,
        };
        while let Some(entry) = entries.next_entry().await? {
            match self.sweep_file(job, &entry.path()).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // it went by itself
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

    /// Writes what is known of an export. Blocks.
    pub fn save(&self, job: &Job) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(job).map_err(io::Error::other)?;
        let work = self.work(job.id);
        Disk::create(work.join(NEW_JOB_FILE), &work, JOB_FILE)?.write_whole(&bytes)
    }

    /// Begins a file of an export. What is written to it may block: not for a thread that answers others.
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

    /// Removes an export. Its state goes last: what a crash leaves is removed again.
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

    /// Whether it has what an export lies in: folder, or bucket.
    pub fn reaches(&self, job: &Job) -> bool {
        self.bucket_of(job).is_ok()
    }

    /// The bucket that an export lies in; `None` where it lies in the folder.
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

/// Does what waits for a disk where no request waits for it.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Makes the names of a folder durable.
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
