//! What a rebuild does with one part: reads, recomputes and stores it; and the proof that all parts are stored, once
//! each.
//!
//! A part that does not match the plan's counts is refused. Its rows are inserted under tokens that name the part, so
//! that a repeated part adds nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use horolog_stage::crash;
use indicatif::ProgressBar;

use super::parts::Done;
use super::plan::{self, Part};
use super::reading::{Read, Reader};
use super::recompute::{Recomputation, Recomputed};
use super::register::{Rebuild, Source};
use super::run::Work;
use crate::block::HOURLY_TABLE;
use crate::key::hour_of;
use crate::ledger;
use crate::rows::Rows;
use crate::scope::{Scope, show_hour};
use crate::tool_error::ToolError;

/// Attempts of an insert before the command gives up. It can be run again.
const ATTEMPTS_MAX: u32 = 12;

impl Work {
    /// Recomputes and stores a part; returns its records by hour and its number of rows.
    pub(super) async fn recompute(
        &self,
        rebuild: &Rebuild,
        part: &Part,
        reader: &Reader,
        recomputation: &Arc<Recomputation>,
        bar: &ProgressBar,
    ) -> Result<(BTreeMap<u32, u64>, u64), ToolError> {
        let recomputed = self.read(part, reader, recomputation, bar).await?;
        let (epoch, recomputation) = (rebuild.epoch(), recomputation.clone());
        let made = tokio::task::spawn_blocking(move || recomputation.block(recomputed, epoch)).await;
        let (pieces, hours) = made??;
        let mut partials = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let token = format!("rebuild/{}/{}/{number}", rebuild.number(), part.name());
            self.store
                .insert_until_known(HOURLY_TABLE, piece, &token, ATTEMPTS_MAX)
                .await?;
            partials += piece.num_rows() as u64;
            crash::point("rebuild-piece");
        }
        Ok((hours, partials))
    }

    /// Reads and recomputes a part; an error if it does not match the plan's counts.
    pub(super) async fn read(
        &self,
        part: &Part,
        reader: &Reader,
        recomputation: &Arc<Recomputation>,
        bar: &ProgressBar,
    ) -> Result<Recomputed, ToolError> {
        let late_batches = Arc::new(ledger::late_batches(&self.store, &self.scope_of(part)).await?);
        let mut batches = reader.read(part);
        let mut recomputed = Recomputed::default();
        let mut found = BTreeMap::new();
        while let Some(read) = batches.recv().await {
            match read? {
                Read::End(Some(seen)) => found = seen,
                Read::End(None) => (),
                Read::Rows(rows) => {
                    let records: usize = rows.iter().map(Rows::len).sum();
                    if self.source == Source::Raw {
                        count(&rows, &mut found);
                    }
                    let (recomputation, late_batches) = (recomputation.clone(), late_batches.clone());
                    let added = tokio::task::spawn_blocking(move || {
                        recomputation.add(rows, &late_batches, &mut recomputed)?;
                        Ok::<_, ToolError>(recomputed)
                    });
                    recomputed = added.await??;
                    bar.inc(records as u64);
                }
            }
        }
        match first_difference(&found, &part.expected) {
            None => Ok(recomputed),
            Some((hour, found, expected)) => Err(ToolError::Refused(format!(
                "{}: {hour} has {found} records now, but {expected} were expected: the source changed or disagrees \
                 with the ledger; `horolog-aggregate verify` shows more",
                part.name(),
            ))),
        }
    }

    fn scope_of(&self, part: &Part) -> Scope {
        match part.place {
            plan::Place::Hours(from, to) => self.scope.in_hours(from, to),
            plan::Place::Offsets(..) => self.scope.clone(),
        }
    }

    /// Checks that everything recomputed is in the table exactly once.
    pub(super) async fn require_whole(&self, rebuild: &Rebuild, done: &Done) -> Result<(), ToolError> {
        let query = format!(
            "select toUnixTimestamp(hour) as start, sum(h.count) as records from metrics_hourly as h where epoch = ? and {} \
             group by start",
            self.scope.hourly_condition()
        );
        self.store.catch_up(&[HOURLY_TABLE]).await?;
        let query = self.scope.bind(self.store.client.query(&query).bind(rebuild.epoch()));
        let stored: BTreeMap<u32, u64> = query.fetch_all::<(u32, u64)>().await?.into_iter().collect();
        match first_difference(&stored, &done.hours) {
            None => Ok(()),
            Some((hour, stored, done)) => Err(ToolError::Refused(format!(
                "rebuild {} is abandoned: it stored {stored} records of {hour} but recomputed {done}; it was \
                 interrupted for too long, or rows were removed: start it again",
                rebuild.number(),
            ))),
        }
    }
}

/// The first hour with another number of records than expected, and both numbers.
fn first_difference(found: &BTreeMap<u32, u64>, expected: &BTreeMap<u32, u64>) -> Option<(String, u64, u64)> {
    let mut hours = expected.keys().chain(found.keys());
    let hour = hours.find(|hour| found.get(hour) != expected.get(hour))?;
    let of = |hours: &BTreeMap<u32, u64>| hours.get(hour).copied().unwrap_or(0);
    Some((show_hour(*hour), of(found), of(expected)))
}

fn count(rows: &[Rows], hours: &mut BTreeMap<u32, u64>) {
    for time in rows.iter().flat_map(|rows| rows.samples().time.values()) {
        *hours.entry(hour_of(*time)).or_default() += 1;
    }
}
