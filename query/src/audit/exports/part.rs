//! A file while it is written: encoded, counted, hashed, and named only when it is whole and durable.
//!
//! Enters: batches of rows in the export's order. Leaves: a [`FileEntry`]. Guarantees: a part that is dropped leaves nothing
//! behind; the hash is of the bytes that were written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::encode::{EncodeError, Encoder};
use super::job::{FileEntry, Key, PartitionRows};
use super::run::rows::Rows;
use super::shelf::Shelf;
use super::spec::Spec;

/// Bytes on their way to the disk are collected so far.
const BUFFER_BYTES: usize = 1 << 20;

/// Rows and later copies met, by log epoch and partition.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<(u32, i32), PartitionRows>);

impl Tally {
    fn entry(&mut self, log_epoch: u32, partition: i32) -> &mut PartitionRows {
        self.0.entry((log_epoch, partition)).or_insert(PartitionRows {
            log_epoch,
            partition,
            rows: 0,
            repeats: 0,
            first_offset: 0,
            last_offset: 0,
        })
    }

    /// Counts a row that is written.
    pub fn row(&mut self, log_epoch: u32, partition: i32, offset: i64) {
        let entry = self.entry(log_epoch, partition);
        if entry.rows == 0 {
            (entry.first_offset, entry.last_offset) = (offset, offset);
        }
        entry.rows += 1;
        entry.first_offset = entry.first_offset.min(offset);
        entry.last_offset = entry.last_offset.max(offset);
    }

    /// Counts a copy that is left out.
    pub fn repeat(&mut self, log_epoch: u32, partition: i32) {
        self.entry(log_epoch, partition).repeats += 1;
    }

    /// The counts, in order.
    pub fn into_partitions(self) -> Vec<PartitionRows> {
        self.0.into_values().collect()
    }
}

/// A file under way.
pub struct Part {
    name: String,
    month: u32,
    rows: u64,
    ends: Option<(Key, Key)>,
    encoder: Option<Encoder<BufWriter<Hashed>>>,
    temporary: PathBuf,
}

impl Part {
    /// Begins a file.
    pub fn create(shelf: &Shelf, id: Uuid, spec: &Spec, month: u32, number: u32) -> Result<Self, EncodeError> {
        let name = spec.file_name(month, number);
        let temporary = shelf.temporary(id, &name);
        let to = BufWriter::with_capacity(BUFFER_BYTES, Hashed::new(File::create(&temporary)?));
        Ok(Self {
            name,
            month,
            rows: 0,
            ends: None,
            encoder: Some(Encoder::new(spec, to)?),
            temporary,
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
        match &mut self.encoder {
            Some(encoder) => encoder.write(batch),
            None => Ok(()),
        }
    }

    /// Ends the file and gives it its name. `None` where it has no row: then there is no file.
    pub fn finish(mut self, shelf: &Shelf, id: Uuid, tally: Tally) -> Result<Option<FileEntry>, EncodeError> {
        let (Some(encoder), Some((first, last))) = (self.encoder.take(), self.ends.take()) else {
            return Ok(None);
        };
        let hashed = encoder.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (bytes, sha256) = hashed.sync()?;
        shelf.publish(id, &self.name)?;
        Ok(Some(FileEntry {
            name: std::mem::take(&mut self.name),
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

impl Drop for Part {
    fn drop(&mut self) {
        self.encoder = None;
        let _ = fs::remove_file(&self.temporary); // not there once it was published
    }
}

/// A file whose bytes are counted and hashed as they are written.
struct Hashed {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Hashed {
    fn new(file: File) -> Self {
        Self {
            file,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    fn sync(self) -> io::Result<(u64, String)> {
        self.file.sync_all()?;
        Ok((self.bytes, hex(&self.hash.finalize())))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
