//! Checks the rows of an export against its manifest, as they are read.
//!
//! Enters: the batches of all files, in order. Leaves: claims: rows counted, in their months, in the span, in order, of one
//! tenant, within the ledger's offsets, each event once.

use std::collections::BTreeMap;

use anyhow::Context;
use arrow::array::{AsArray, RecordBatch};

use super::Report;
use super::identities::Identities;
use crate::api::Instant;
use crate::audit::exports::job::FileEntry;
use crate::audit::exports::manifest::Manifest;
use crate::audit::exports::part::Tally;
use crate::audit::exports::run::rows::{Rows, Standing};
use crate::audit::months;

/// Rows, being checked.
pub struct Checked<'a> {
    manifest: &'a Manifest,
    identities: Identities,
    ends: BTreeMap<(u32, i32), (i64, i64)>,
    span: (i64, i64),
    month: (i64, i64),
    tally: Tally,
    file_rows: u64,
    rows: u64,
    last: Option<Standing>,
    wrong: BTreeMap<&'static str, u64>,
    files_differ: Vec<String>,
}

impl<'a> Checked<'a> {
    /// For the files of a manifest.
    pub fn new(manifest: &'a Manifest, identities: Identities) -> Self {
        let bound = |name: &str, otherwise| {
            manifest
                .filter
                .get(name)
                .and_then(|text| Instant::parse(text).ok())
                .map_or(otherwise, Instant::micros)
        };
        let logs = manifest.ledger.logs.iter();
        Self {
            manifest,
            identities,
            ends: logs
                .map(|log| ((log.log_epoch, log.partition), (log.start_offset, log.end_offset)))
                .collect(),
            span: (bound("from", i64::MIN), bound("to", i64::MAX)),
            month: (0, 0),
            tally: Tally::default(),
            file_rows: 0,
            rows: 0,
            last: None,
            wrong: BTreeMap::new(),
            files_differ: Vec::new(),
        }
    }

    /// Before the first batch of a file.
    pub fn begin(&mut self, file: &FileEntry) {
        let [from, to] = months::bounds(file.month);
        self.month = (from, to);
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
            let within = |(from, to): (i64, i64), value| from <= value && value < to;
            let standing = rows.standing(row)?;
            let ends = self.ends.get(&(log_epoch, partition)).copied();
            for (holds, what) in [
                (tenants.value(row) == self.manifest.tenant_id, "of another tenant"),
                (within(self.month, occurred_at), "outside the month of their file"),
                (within(self.span, occurred_at), "outside the span of the filter"),
                (
                    ends.is_some_and(|ends| within(ends, offset)),
                    "beyond the offsets of the ledger",
                ),
                (self.last.is_none_or(|last| last < standing), "not in order"),
            ] {
                if !holds {
                    *self.wrong.entry(what).or_default() += 1;
                }
            }
            self.last = Some(standing);
            self.tally.row(log_epoch, partition, offset);
            self.identities.push(rows.event_id.value(row))?;
        }
        self.file_rows += batch.num_rows() as u64;
        Ok(())
    }

    /// After the last batch of a file.
    pub fn end(&mut self, file: &FileEntry) {
        self.rows += self.file_rows;
        let read = std::mem::take(&mut self.tally).into_partitions();
        let told = file.partitions.iter().filter(|entry| entry.rows > 0);
        let same = told
            .map(|entry| {
                (
                    entry.log_epoch,
                    entry.partition,
                    entry.rows,
                    entry.first_offset,
                    entry.last_offset,
                )
            })
            .eq(read.iter().map(|entry| {
                (
                    entry.log_epoch,
                    entry.partition,
                    entry.rows,
                    entry.first_offset,
                    entry.last_offset,
                )
            }));
        if !same || self.file_rows != file.rows {
            self.files_differ.push(file.name.clone());
        }
    }

    /// What was found.
    pub fn report(self, report: &mut Report) -> anyhow::Result<()> {
        let rows = self.rows;
        report.claim(
            self.files_differ.is_empty(),
            "each file has the rows, by partition and offset range, that the manifest names",
            || {
                format!(
                    "other rows than the manifest names, by partition or offset range: {:?}",
                    self.files_differ
                )
            },
        );
        report.claim(
            rows == self.manifest.rows,
            format!("{rows} rows were read, as many as the manifest names"),
            || format!("{rows} rows were read, the manifest names {}", self.manifest.rows),
        );
        for what in [
            "of another tenant",
            "outside the month of their file",
            "outside the span of the filter",
            "beyond the offsets of the ledger",
            "not in order",
        ] {
            let wrong = self.wrong.get(what).copied().unwrap_or_default();
            report.claim(wrong == 0, format!("no row is {what}"), || {
                format!("{wrong} rows are {what}")
            });
        }
        let repeated = self.identities.repeated()?;
        report.claim(repeated == 0, "each event is there once", || {
            format!("{repeated} rows repeat an event")
        });
        Ok(())
    }
}
