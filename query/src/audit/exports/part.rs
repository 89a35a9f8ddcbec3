//! A file being written: encoded, counted, hashed, and named only when it is complete and durable.
//!
//! Enters: batches of rows in the export's order. Leaves: a [`FileEntry`]. Guarantees: a part that is dropped leaves no
//! named file; the hash is of the bytes that were written.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use horolog_schemas::digest::hex;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::encode::{EncodeError, Encoder};
use super::job::{FileEntry, Job, Key, PartitionRows};
use super::repeats::Repeat;
use super::run::rows::{Place, Rows};
use super::shelf::Shelf;
use super::sink::Sink;

/// Output is buffered up to this size.
const BUFFER_BYTES: usize = 1 << 20;

/// Rows written and later copies left out, by log epoch and partition.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(u32, i32), PartitionRows>);

impl Tally {
    fn entry(&mut self, log_epoch: u32, partition: i32) -> &mut PartitionRows {
        self.0.entry((log_epoch, partition)).or_insert(PartitionRows {
            log_epoch,
            partition,
            rows: 0,
            repeats: 0,
            differing: 0,
            differing_events: Vec::new(),
            first_offset: 0,
            last_offset: 0,
        })
    }

    /// Counts a row that is written.
    pub fn row(&mut self, (log_epoch, partition, offset): Place) {
        let entry = self.entry(log_epoch, partition);
        if entry.rows == 0 {
            (entry.first_offset, entry.last_offset) = (offset, offset);
        }
        entry.rows += 1;
        entry.first_offset = entry.first_offset.min(offset);
        entry.last_offset = entry.last_offset.max(offset);
    }

    /// Counts a copy of an event that is left out.
    pub fn repeat(&mut self, (log_epoch, partition, _): Place, repeat: Repeat) {
        let entry = self.entry(log_epoch, partition);
        entry.repeats += 1;
        if let Repeat::Different(event_id) = repeat {
            entry.differing += 1;
            entry.name_differing(event_id);
        }
    }

    /// The counts, in order.
    pub fn into_partitions(self) -> Vec<PartitionRows> {
        self.0.into_values().collect()
    }
}

/// An unfinished file.
pub struct Part {
    name: String,
    month: u32,
    rows: u64,
    ends: Option<(Key, Key)>,
    encoder: Encoder<BufWriter<Hashed>>,
    failure: Failure,
}

impl Part {
    /// Begins a file.
    pub fn create(shelf: &Shelf, job: &Job, month: u32, number: u32) -> Result<Self, EncodeError> {
        let name = job.spec.file_name(month, number);
        let failure = Failure::default();
        let hashed = Hashed::new(shelf.create(job, &name)?, failure.clone());
        let to = BufWriter::with_capacity(BUFFER_BYTES, hashed);
        Ok(Self {
            name,
            month,
            rows: 0,
            ends: None,
            encoder: Encoder::new(&job.spec, job.schema()?, to)?,
            failure,
        })
    }

    /// Rows in it so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let rows = Rows::of(batch)?;
        let last = rows.key(batch.num_rows() - 1);
        match &mut self.ends {
            Some(ends) => ends.1 = last,
            None => self.ends = Some((rows.key(0), last)),
        }
        self.rows += batch.num_rows() as u64;
        let written = self.encoder.write(batch);
        written.map_err(|error| self.failure.behind(error))
    }

    /// Completes the file and gives it its name. `None` if it has no rows: then there is no file.
    pub fn finish(self, tally: Tally) -> Result<Option<FileEntry>, EncodeError> {
        let Some((first, last)) = self.ends else {
            return Ok(None);
        };
        let buffered = self.encoder.finish().map_err(|error| self.failure.behind(error))?;
        let hashed = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (bytes, sha256) = hashed.finish()?;
        Ok(Some(FileEntry {
            name: self.name,
            month: self.month,
            rows: self.rows,
            bytes,
            sha256,
            first,
            last,
            partitions: tally.into_partitions(),
        }))
    }
}

/// The I/O error below an encoder. Some encoders keep only its text, and then a full disk cannot be told from invalid
/// rows.
#[derive(Clone, Default)]
struct Failure(Arc<Mutex<Option<io::Error>>>);

impl Failure {
    /// Keeps an error and returns one with the same text.
    fn keep(&self, error: io::Error) -> io::Error {
        let text = io::Error::new(error.kind(), error.to_string());
        *self.0.lock() = Some(error);
        text
    }

    /// The I/O error behind an encoder's error.
    fn behind(&self, said: EncodeError) -> EncodeError {
        let kept = self.0.lock().take();
        kept.map_or(said, EncodeError::Io)
    }
}

/// Counts and hashes the bytes of a file as they are written.
struct Hashed {
    file: Sink,
    hash: Sha256,
    bytes: u64,
    failure: Failure,
}

impl Hashed {
    fn new(file: Sink, failure: Failure) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            bytes: 0,
            failure,
        }
    }

    fn finish(self) -> io::Result<(u64, String)> {
        self.file.finish()?;
        Ok((self.bytes, hex(&self.hash.finalize())))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).map_err(|error| self.failure.keep(error))?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush().map_err(|error| self.failure.keep(error))
    }
}
