//! Checks the rows of an export against its manifest, as they are read.
//!
//! Enters: the batches of all files, in order. Leaves: claims: rows counted, in their months, in the span, in order, of
//! one tenant, within the ledger's offsets, each event once.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Context;
use arrow::array::{AsArray, RecordBatch};

use super::Report;
use super::identities::Identities;
use super::stored::span_of;
use crate::audit::exports::job::FileEntry;
use crate::audit::exports::manifest::{Manifest, written};
use crate::audit::exports::part::Tally;
use crate::audit::exports::run::rows::{Rows, Standing};
use crate::audit::months;

/// What rows must not be.
const WRONG: [&str; 5] = [
    "of another tenant",
    "outside the month of their file",
    "outside the span of the filter",
    "beyond the offsets of the ledger",
    "not in order",
];

/// The check of all rows.
pub struct Checked<'a> {
    manifest: &'a Manifest,
    identities: Identities,
    offsets: BTreeMap<(u32, i32), Range<i64>>,
    span: Range<i64>,
    month: Range<i64>,
    tally: Tally,
    file_rows: u64,
    rows: u64,
    last: Option<Standing>,
    /// Counts of rows by [`WRONG`].
    wrong: [u64; WRONG.len()],
    files_differ: Vec<String>,
}

impl<'a> Checked<'a> {
    /// For the files of a manifest.
    pub fn new(manifest: &'a Manifest, identities: Identities) -> Self {
        let logs = manifest.ledger.logs.iter();
        Self {
            manifest,
            identities,
            offsets: logs
                .map(|log| ((log.log_epoch, log.partition), log.start_offset..log.end_offset))
                .collect(),
            span: span_of(&manifest.filter),
            month: 0..0,
            tally: Tally::default(),
            file_rows: 0,
            rows: 0,
            last: None,
            wrong: [0; WRONG.len()],
            files_differ: Vec::new(),
        }
    }

    /// Called before the first batch of a file.
    pub fn begin(&mut self, file: &FileEntry) {
        let [from, to] = months::bounds(file.month);
        self.month = from..to;
        self.tally = Tally::default();
        self.file_rows = 0;
    }

    /// Rows of the file.
    pub fn batch(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let rows = Rows::of(batch)?;
        let tenants = batch
            .column_by_name("tenant_id")
            .and_then(|column| column.as_string_opt::<i32>().cloned());
        let tenants = tenants.context("no column tenant_id")?;
        for row in 0..rows.len() {
            let (log_epoch, partition, offset) = rows.place(row);
            let occurred_at = rows.occurred_at.value(row);
            let standing = rows.standing(row)?;
            let offsets = self.offsets.get(&(log_epoch, partition));
            let is_wrong: [bool; WRONG.len()] = [
                tenants.value(row) != self.manifest.tenant_id,
                !self.month.contains(&occurred_at),
                !self.span.contains(&occurred_at),
                offsets.is_none_or(|offsets| !offsets.contains(&offset)),
                self.last.is_some_and(|last| last >= standing),
            ];
            for (wrong, is_wrong) in self.wrong.iter_mut().zip(is_wrong) {
                *wrong += u64::from(is_wrong);
            }
            self.last = Some(standing);
            self.tally.row((log_epoch, partition, offset));
            self.identities.push(rows.event_id.value(row))?;
        }
        self.file_rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Called after the last batch of a file.
    pub fn end(&mut self, file: &FileEntry) {
        self.rows += self.file_rows;
        let read = std::mem::take(&mut self.tally).into_partitions();
        if written(&file.partitions) != read || self.file_rows != file.rows {
            self.files_differ.push(file.name.clone());
        }
    }

    /// What was found.
    pub fn report(self, report: &mut Report) -> anyhow::Result<()> {
        let rows = self.rows;
        report.claim(
            self.files_differ.is_empty(),
            "each file has the rows, by partition and offset range, that the manifest says",
            || {
                format!(
                    "other rows than the manifest says, by partition or offset range: {:?}",
                    self.files_differ
                )
            },
        );
        report.claim(
            rows == self.manifest.rows,
            format!("{rows} rows were read, as many as the manifest says"),
            || format!("{rows} rows were read, but the manifest says {}", self.manifest.rows),
        );
        for (what, wrong) in WRONG.iter().zip(self.wrong) {
            report.claim(wrong == 0, format!("no row is {what}"), || {
                format!("{wrong} rows are {what}")
            });
        }
        let repeated = self.identities.repeated()?;
        report.claim(repeated == 0, "each event occurs once", || {
            format!("{repeated} rows repeat an event")
        });
        Ok(())
    }
}
