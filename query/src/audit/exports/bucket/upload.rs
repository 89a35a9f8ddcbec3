//! An upload to a bucket: written like any file, sent in parts.
//!
//! Enters: bytes, from a thread that may block. Leaves: an object, once all bytes are there. Guarantees: memory holds
//! the parts in flight and the one being filled; a slow bucket slows the writer; the upload's id is on disk before its
//! first part is sent, so that it can be aborted after a crash.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartId, ObjectStoreExt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::{Bucket, BucketError};

/// Most parts of an object in any S3.
const PARTS_MAX: usize = 10_000;

type Sent = Result<(usize, PartId), object_store::Error>;

/// A file being uploaded.
pub struct Upload {
    bucket: Bucket,
    key: Path,
    note: PathBuf,
    runtime: Handle,
    id: Option<MultipartId>,
    buffer: Vec<u8>,
    bytes: u64,
    begun: usize,
    under_way: JoinSet<Sent>,
    parts: BTreeMap<usize, PartId>,
}

impl Upload {
    /// Begins a file. `note` is where its id is kept until it is complete. Writes block on `runtime`.
    pub fn new(bucket: &Bucket, folder: &str, name: &str, note: PathBuf, runtime: Handle) -> Self {
        Self {
            bucket: bucket.clone(),
            key: bucket.key(folder, name),
            note,
            runtime,
            id: None,
            buffer: Vec::new(),
            bytes: 0,
            begun: 0,
            under_way: JoinSet::new(),
            parts: BTreeMap::new(),
        }
    }

    /// Completes the file: when this returns it has its name. A file smaller than a part is a single request.
    pub fn finish(mut self) -> io::Result<()> {
        let Some(id) = self.id.clone() else {
            let put = self
                .bucket
                .store
                .put(&self.key, std::mem::take(&mut self.buffer).into());
            self.runtime.block_on(put).map_err(BucketError::from)?;
            return Ok(());
        };
        if !self.buffer.is_empty() {
            self.send()?;
        }
        while !self.under_way.is_empty() {
            self.one_arrives()?;
        }
        let parts = std::mem::take(&mut self.parts).into_values().collect();
        self.runtime.block_on(self.complete(&id, parts))?;
        fs::remove_file(&self.note)
    }

    /// If the response is lost, the library retries, and the upload no longer exists. So the object is checked, also to
    /// verify its size.
    async fn complete(&self, id: &MultipartId, parts: Vec<PartId>) -> Result<(), BucketError> {
        let completed = self.bucket.store.complete_multipart(&self.key, id, parts).await;
        match completed.map_err(BucketError::from) {
            Ok(_) | Err(BucketError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let size = self.bucket.store.head(&self.key).await?.size;
        if size == self.bytes {
            return Ok(());
        }
        Err(BucketError::Unavailable(format!(
            "{} has {size} bytes, {} were sent",
            self.key, self.bytes
        )))
    }

    fn send(&mut self) -> io::Result<()> {
        if self.begun == PARTS_MAX {
            return Err(BucketError::TooLarge.into());
        }
        let id = self.id()?;
        while self.under_way.len() >= self.bucket.parts_in_flight_max {
            self.one_arrives()?;
        }
        let (store, key, number) = (self.bucket.store.clone(), self.key.clone(), self.begun);
        let part = std::mem::take(&mut self.buffer);
        let put = async move {
            let part = store.put_part(&key, &id, number, part.into()).await?;
            Ok((number, part))
        };
        self.under_way.spawn_on(put, &self.runtime);
        self.begun += 1;
        Ok(())
    }

    fn id(&mut self) -> io::Result<MultipartId> {
        if let Some(id) = &self.id {
            return Ok(id.clone());
        }
        let create = self.bucket.store.create_multipart(&self.key);
        let id = self.runtime.block_on(create).map_err(BucketError::from)?;
        let mut note = File::create(&self.note)?;
        note.write_all(id.as_bytes())?;
        note.sync_all()?;
        self.id = Some(id.clone());
        Ok(id)
    }

    fn one_arrives(&mut self) -> io::Result<()> {
        let Some(sent) = self.runtime.block_on(self.under_way.join_next()) else {
            return Ok(());
        };
        let (number, part) = sent.map_err(io::Error::other)?.map_err(BucketError::from)?;
        self.parts.insert(number, part);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.bucket.part_bytes);
        }
        let taken = bytes.len().min(self.bucket.part_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        self.bytes += taken as u64;
        if self.buffer.len() == self.bucket.part_bytes {
            self.send()?;
        }
        Ok(taken)
    }

    /// Does nothing: a part is sent when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
