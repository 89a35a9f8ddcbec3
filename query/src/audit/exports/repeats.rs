//! Copies of events that are not their first: an event that was sent again is exported once, as it was first.
//!
//! Enters: all copies of the events that were sent more than once, in the order of their coordinates. Leaves: a file a month
//! with the coordinates of those that are left out, so that memory holds one month's at most. Copies may claim different
//! times, and a filter may match only a later copy: so they are looked for among all events of the tenant.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::snapshot::Snapshot;
use crate::access::Caller;
use crate::audit::copies;
use crate::audit::filter::Conditions;
use crate::store::{Relation, TenantSelect};

const COPIES: &str = "r.event_id as event_id, toYYYYMM(r.occurred_at) as month, r.log_epoch as log_epoch, \
    r.kafka_partition as partition, r.kafka_offset as offset";
const FIRST_COPY_FIRST: &str = "order by r.event_id, r.log_epoch, r.kafka_partition, r.kafka_offset";
const PLACE_BYTES: usize = 16;
/// Left out in one month at most; 32 MiB on disk, about 100 MB in memory.
pub const MONTH_REPEATS_MAX: u64 = 2_000_000;

/// Where a copy is in its topic: log epoch, partition, offset.
pub type Place = (u32, i32, i64);

/// A copy of an event that has several.
#[derive(Debug, Row, Deserialize)]
pub struct Copy {
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    month: u32,
    log_epoch: u32,
    partition: i32,
    offset: i64,
}

/// The statement whose rows are [`Copy`]s, of events that may have several. A filter narrows which events are looked at, never which of
/// their copies.
pub fn select(caller: &Caller, filter: &Conditions, snapshot: &Snapshot) -> TenantSelect {
    let all = |columns| snapshot.apply(TenantSelect::new(caller, Relation::AuditLogs, columns));
    let mut ids = copies::told(caller, copies::ID);
    if !filter.is_everything() {
        ids = ids.and_in("r.event_id", filter.apply(all(copies::ID)));
    }
    let keys = copies::told(caller, copies::KEY).and_in("r.event_id", copies::sent_again(ids));
    copies::with_keys(all(COPIES), keys).then(FIRST_COPY_FIRST)
}

/// Writes the files of an export.
pub struct Finder {
    folder: PathBuf,
    months: BTreeMap<u32, (BufWriter<File>, u64)>,
    event: Option<(Uuid, Place)>,
}

impl Finder {
    /// Files in `folder`, which is there.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            months: BTreeMap::new(),
            event: None,
        }
    }

    /// Takes the next copy.
    pub fn push(&mut self, copy: &Copy) -> io::Result<()> {
        let place = (copy.log_epoch, copy.partition, copy.offset);
        match self.event {
            Some((event, first)) if event == copy.event_id => {
                // The very same record twice is left out where it is met: its place is that of the first copy, too.
                if place == first {
                    Ok(())
                } else {
                    self.leave_out(copy.month, place)
                }
            }
            _ => {
                self.event = Some((copy.event_id, place));
                Ok(())
            }
        }
    }

    fn leave_out(&mut self, month: u32, (log_epoch, partition, offset): Place) -> io::Result<()> {
        let entry = match self.months.entry(month) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert((BufWriter::new(File::create(path(&self.folder, month))?), 0))
            }
        };
        entry.1 += 1;
        if entry.1 > MONTH_REPEATS_MAX {
            return Err(io::Error::other(format!(
                "more than {MONTH_REPEATS_MAX} repeated events in {month}"
            )));
        }
        entry.0.write_all(&log_epoch.to_le_bytes())?;
        entry.0.write_all(&partition.to_le_bytes())?;
        entry.0.write_all(&offset.to_le_bytes())
    }

    /// Makes the files durable.
    pub fn finish(self) -> io::Result<()> {
        for (file, _) in self.months.into_values() {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(())
    }
}

/// What is left out of a month.
pub fn load(folder: &Path, month: u32) -> io::Result<HashSet<Place>> {
    let mut bytes = Vec::new();
    match File::open(path(folder, month)) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        Err(error) => return Err(error),
    };
    let place = |bytes: &[u8]| {
        let (log_epoch, rest) = bytes.split_first_chunk::<4>()?;
        let (partition, rest) = rest.split_first_chunk::<4>()?;
        let offset = rest.first_chunk::<8>()?;
        Some((
            u32::from_le_bytes(*log_epoch),
            i32::from_le_bytes(*partition),
            i64::from_le_bytes(*offset),
        ))
    };
    Ok(bytes.chunks_exact(PLACE_BYTES).filter_map(place).collect())
}

fn path(folder: &Path, month: u32) -> PathBuf {
    folder.join(format!("repeats-{month}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_copies_but_the_first_are_left_out_of_their_months() {
        let folder = tempfile::tempdir().unwrap();
        let mut finder = Finder::new(folder.path());
        let copy = |id, month, offset| Copy {
            event_id: Uuid::from_u128(id),
            month,
            log_epoch: 1,
            partition: 2,
            offset,
        };
        for copy in [
            copy(1, 202601, 5),
            copy(1, 202601, 5),
            copy(1, 202603, 9),
            copy(2, 202601, 7),
            copy(2, 202601, 8),
        ] {
            finder.push(&copy).unwrap();
        }
        finder.finish().unwrap();
        assert_eq!(load(folder.path(), 202601).unwrap(), HashSet::from([(1, 2, 8)]));
        assert_eq!(load(folder.path(), 202603).unwrap(), HashSet::from([(1, 2, 9)]));
        assert!(load(folder.path(), 202602).unwrap().is_empty());
    }
}
