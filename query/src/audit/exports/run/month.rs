//! One month of an export: from a stream of Arrow bytes to files.
//!
//! Enters: the rows of the month in order, starting after the last row in a finished file. Leaves: finished files,
//! passed to `finished` one by one. Guarantees: later copies are left out and counted; a file begins where the previous
//! one ended, so an export that was interrupted has the same files as one that was not. Blocks; runs on its own thread.

use std::io;
use std::sync::atomic::Ordering;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;

use super::batches::Batches;
use super::rows::{Place, Rows};
use crate::audit::exports::columns::conform;
use crate::audit::exports::error::ExportError;
use crate::audit::exports::export::Signals;
use crate::audit::exports::job::{FileEntry, Job, PartitionRows};
use crate::audit::exports::part::{Part, Tally};
use crate::audit::exports::repeats::{LeftOut, Repeat};
use crate::audit::exports::shelf::Shelf;
use crate::store::StoreError;

/// Writes a month.
pub struct MonthWriter<'a> {
    shelf: &'a Shelf,
    job: &'a Job,
    month: u32,
    number: u32,
    left_out: LeftOut,
    schema: SchemaRef,
    batches: Batches,
    part: Option<Part>,
    tally: Tally,
    part_rows: u64,
    last: Option<(Place, i64)>,
    rows_before: u64,
    signals: &'a Signals,
}

impl<'a> MonthWriter<'a> {
    /// Continues after the finished files of the job.
    pub fn new(
        shelf: &'a Shelf,
        job: &'a Job,
        month: u32,
        left_out: LeftOut,
        signals: &'a Signals,
    ) -> Result<Self, ExportError> {
        let schema = job.schema()?;
        Ok(Self {
            shelf,
            job,
            month,
            number: job.files.iter().filter(|file| file.month == month).count() as u32 + 1,
            left_out,
            batches: Batches::new(schema.clone()),
            schema,
            part: None,
            tally: Tally::default(),
            part_rows: 0,
            last: None,
            rows_before: job.rows(),
            signals,
        })
    }

    /// Consumes the whole stream, which ends with `None`. Returns the copies left out after the last row of the last
    /// file. A stream that was cut off because the service stops does not complete a file: it would be too short.
    pub fn run(
        mut self,
        mut chunks: Receiver<Result<Option<Bytes>, StoreError>>,
        mut finished: impl FnMut(FileEntry) -> io::Result<()>,
    ) -> Result<Vec<PartitionRows>, ExportError> {
        let mut decoder = StreamDecoder::new();
        while let Some(chunk) = chunks.blocking_recv().ok_or(ExportError::Stopped)?? {
            let mut buffer = Buffer::from(chunk);
            while !buffer.is_empty() {
                if self.signals.is_stopped() {
                    return Err(ExportError::Stopped);
                }
                if let Some(batch) = decoder.decode(&mut buffer)? {
                    self.push(conform(batch, &self.schema)?, &mut finished)?;
                }
            }
        }
        decoder.finish()?;
        self.end_part(&mut finished)?;
        Ok(self.tally.into_partitions())
    }

    fn push(
        &mut self,
        batch: RecordBatch,
        finished: &mut impl FnMut(FileEntry) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let mut start = 0;
        while start < batch.num_rows() {
            let (taken, kept) = self.take(&batch, start)?;
            let slice = batch.slice(start, taken);
            let slice = match kept {
                Some(kept) => filter_record_batch(&slice, &kept)?,
                None => slice,
            };
            self.batches.push(&slice)?;
            self.drain()?;
            start += taken;
            if self.part_rows == self.job.rows_per_file {
                self.end_part(finished)?;
            }
        }
        self.signals
            .rows
            .store(self.rows_before + self.part_rows, Ordering::Relaxed);
        Ok(())
    }

    /// How many rows from `start` belong to this file, and which of them are written; `None` if all are.
    fn take(&mut self, batch: &RecordBatch, start: usize) -> Result<(usize, Option<BooleanArray>), ExportError> {
        let rows = Rows::of(batch)?;
        let (mut kept, mut all) = (Vec::with_capacity(rows.len() - start), true);
        for row in start..rows.len() {
            if self.part_rows == self.job.rows_per_file {
                break;
            }
            let place = rows.place(row);
            let again = self.last.replace((place, rows.occurred_at.value(row)));
            let repeat = match again == self.last {
                true => Some(Repeat::Same), // the very same record
                false => self.left_out.repeat(&rows, row)?,
            };
            match repeat {
                None => {
                    self.part_rows += 1;
                    self.tally.row(place);
                }
                Some(repeat) => self.tally.repeat(place, repeat),
            }
            all &= repeat.is_none();
            kept.push(repeat.is_none());
        }
        Ok((kept.len(), (!all).then(|| BooleanArray::from(kept))))
    }

    fn drain(&mut self) -> Result<(), ExportError> {
        while let Some(batch) = self.batches.next_whole() {
            let part = match &mut self.part {
                Some(part) => part,
                None => self
                    .part
                    .insert(Part::create(self.shelf, self.job, self.month, self.number)?),
            };
            part.write(&batch)?;
        }
        Ok(())
    }

    /// Completes the current file. Copies left out while no row was written stay in the tally, for the next file or for
    /// the month.
    fn end_part(&mut self, finished: &mut impl FnMut(FileEntry) -> io::Result<()>) -> Result<(), ExportError> {
        self.batches.end()?;
        self.drain()?;
        let Some(part) = self.part.take() else { return Ok(()) };
        debug_assert_eq!(part.rows(), self.part_rows, "every row that was counted is written");
        let tally = std::mem::take(&mut self.tally);
        self.rows_before += self.part_rows;
        self.part_rows = 0;
        if let Some(entry) = part.finish(tally)? {
            self.number += 1;
            finished(entry)?;
        }
        Ok(())
    }
}
