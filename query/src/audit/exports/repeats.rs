//! Later copies of events: an event that was sent again is exported once, as its first copy.
//!
//! Enters: all later copies of events that were sent more than once, in the order of the table, and whether they say
//! what the first copy says. Leaves: a file per month with the positions of those to leave out, read alongside the rows
//! of the month, which have the same order: so memory holds one of them, however many there are. Copies may claim
//! different times, and a filter may match only a later copy, so copies are searched for among all events of the
//! tenant.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use super::run::rows::{Rows, Standing};
use super::snapshot::Snapshot;
use crate::access::Caller;
use crate::audit::copies;
use crate::audit::event::StoredEvent;
use crate::audit::filter::Conditions;
use crate::store::{Relation, Sql, TenantSelect};

/// Every copy, before the hash of what it says.
const COPIES: &str = "toUnixTimestamp64Micro(r.occurred_at) as at, toYYYYMM(r.occurred_at) as month, r.event_id as id, \
    r.log_epoch as epoch, r.kafka_partition as part, r.kafka_offset as place, ";
/// The position of the first copy of its event, and the hash of what that says.
const FIRST: [&str; 3] = [
    " as said, argMin((epoch, part, place, said), ",
    copies::ORDER,
    ") over (partition by id) as first_copy",
];
const LATER: &str = "i.at as at, i.month as month, i.id as id, i.epoch as epoch, i.part as part, i.place as place, \
    i.said != i.first_copy.4 as differs";
/// A duplicate of the very same record is left out when it is read: its position is that of the first copy, too.
const IN_TABLE_ORDER: &str = "where (i.epoch, i.part, i.place) != (i.first_copy.1, i.first_copy.2, i.first_copy.3) \
    order by i.at, i.id, i.epoch, i.part, i.place";

/// A later copy of an event.
#[derive(Debug, Clone, Copy, Row, Deserialize)]
pub struct LaterCopy {
    at: i64,
    month: u32,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    epoch: u32,
    part: i32,
    place: i64,
    differs: bool,
}

/// A row to leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It says what the first copy says.
    Same,
    /// It has the id of this event and says something else.
    Different(Uuid),
}

/// A row to leave out, and where it stands.
type Entry = (Standing, Repeat);

/// Length of an entry in a file.
const ENTRY_BYTES: u64 = Standing::BYTES + 1;

impl LaterCopy {
    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        Standing::new(self.at, self.id, (self.epoch, self.part, self.place)).write(to)?;
        to.write_all(&[self.differs.into()])
    }
}

fn read(from: &mut impl Read) -> io::Result<Entry> {
    let (standing, mut differs) = (Standing::read(from)?, [0]);
    from.read_exact(&mut differs)?;
    let repeat = match differs {
        [0] => Repeat::Same,
        _ => Repeat::Different(standing.event_id()),
    };
    Ok((standing, repeat))
}

/// The statement whose rows are [`LaterCopy`]s, for events that may have several. `only` narrows it to the rows that
/// match, if they are few enough to look up each; else it covers the whole tenant, because the matching ids would be
/// held in memory. It narrows the events that are considered, never their copies.
pub fn select(caller: &Caller, only: Option<&Conditions>, snapshot: &Snapshot) -> TenantSelect {
    let all = |columns: Sql| snapshot.apply(TenantSelect::new(caller, Relation::AuditLogs, columns));
    let mut ids = copies::told(caller, copies::ID);
    if let Some(filter) = only {
        ids = ids.and_in("r.event_id", filter.apply(all(copies::ID.into())));
    }
    let keys = copies::told(caller, copies::KEY).and_in("r.event_id", copies::sent_again(ids));
    let columns = Sql::join([COPIES.into(), StoredEvent::said(), Sql::concat(FIRST)], "");
    let copies = copies::with_keys(all(columns), keys);
    copies.outer(LATER).then(IN_TABLE_ORDER)
}

/// Writes the files of an export.
pub struct Finder {
    folder: PathBuf,
    month: Option<(u32, BufWriter<File>)>,
}

impl Finder {
    /// With files in `folder`, which must exist.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            month: None,
        }
    }

    /// Adds the next copy.
    pub fn push(&mut self, copy: &LaterCopy) -> io::Result<()> {
        let mut file = match self.month.take() {
            Some((month, file)) if month == copy.month => file,
            before => {
                end(before)?;
                BufWriter::new(File::create(path(&self.folder, copy.month))?)
            }
        };
        copy.write(&mut file)?;
        self.month = Some((copy.month, file));
        Ok(())
    }

    /// Makes the last file durable, as those before it already are.
    pub fn finish(self) -> io::Result<()> {
        end(self.month)
    }
}

fn end(month: Option<(u32, BufWriter<File>)>) -> io::Result<()> {
    match month {
        Some((_, file)) => file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all(),
        None => Ok(()),
    }
}

/// The rows of a month to leave out, read alongside its rows.
pub struct LeftOut {
    file: Option<BufReader<File>>,
    left: u64,
    next: Option<Entry>,
}

impl LeftOut {
    /// Those of one month, from the beginning.
    pub fn open(folder: &Path, month: u32) -> io::Result<Self> {
        let mut left_out = Self {
            file: None,
            left: 0,
            next: None,
        };
        match File::open(path(folder, month)) {
            Ok(file) => {
                left_out.left = file.metadata()?.len() / ENTRY_BYTES;
                left_out.file = Some(BufReader::new(file));
                left_out.advance()?;
                Ok(left_out)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(left_out),
            Err(error) => Err(error),
        }
    }

    /// What a row repeats, if it is to be left out. Rows must come in order; when an export resumes in the middle of a
    /// month, the first row skips all positions before it.
    pub fn repeat(&mut self, rows: &Rows<'_>, row: usize) -> io::Result<Option<Repeat>> {
        // For most rows the time alone decides, without parsing an id.
        if self
            .next
            .is_none_or(|(next, _)| rows.occurred_at.value(row) < next.occurred_at)
        {
            return Ok(None);
        }
        let standing = rows.standing(row).map_err(io::Error::other)?;
        while self.next.is_some_and(|(next, _)| next < standing) {
            self.advance()?;
        }
        Ok(self
            .next
            .filter(|(next, _)| *next == standing)
            .map(|(_, repeat)| repeat))
    }

    fn advance(&mut self) -> io::Result<()> {
        self.next = match &mut self.file {
            Some(file) if self.left > 0 => {
                self.left -= 1;
                Some(read(file)?)
            }
            _ => None,
        };
        Ok(())
    }
}

fn path(folder: &Path, month: u32) -> PathBuf {
    folder.join(format!("copies-{month}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    };

    use super::*;

    /// A copy with this time, event id and offset; those of an odd id say something else.
    fn copy(month: u32, (at, id, place): (i64, u128, i64)) -> LaterCopy {
        LaterCopy {
            at,
            month,
            id: Uuid::from_u128(id),
            epoch: 1,
            part: 2,
            place,
            differs: id % 2 == 1,
        }
    }

    fn batch(rows: &[(i64, u128, i64)]) -> RecordBatch {
        let ids = rows.iter().map(|row| Uuid::from_u128(row.1).to_string());
        let columns: [(&str, ArrayRef); 5] = [
            ("event_id", Arc::new(StringArray::from_iter_values(ids))),
            (
                "occurred_at",
                Arc::new(TimestampMicrosecondArray::from_iter_values(
                    rows.iter().map(|row| row.0),
                )),
            ),
            ("log_epoch", Arc::new(UInt32Array::from(vec![1; rows.len()]))),
            ("kafka_partition", Arc::new(Int32Array::from(vec![2; rows.len()]))),
            (
                "kafka_offset",
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            ),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn what_is_left_out_is_found_alongside_the_rows_from_wherever_they_begin() {
        let folder = tempfile::tempdir().unwrap();
        let mut finder = Finder::new(folder.path());
        // The engine compares the second halves of ids first.
        let (early, late) = (9 << 64 | 1, 3 << 64 | 2);
        let january = [
            (10, late, 7),
            (20, early, 5),
            (20, early, 8),
            (20, late, 6),
            (40, early, 9),
        ];
        for one in january {
            finder.push(&copy(202601, one)).unwrap();
        }
        finder.push(&copy(202603, (90, early, 4))).unwrap();
        finder.finish().unwrap();

        // Rows with the same time, some of which the filter excluded, and a duplicate of the very same record.
        let rows = [
            (20, early, 4),
            (20, early, 5),
            (20, early, 5),
            (20, late, 6),
            (30, early, 9),
            (40, early, 9),
        ];
        let batch = batch(&rows);
        let rows = Rows::of(&batch).unwrap();
        for first in [0, 3] {
            let mut left_out = LeftOut::open(folder.path(), 202601).unwrap();
            let found: Vec<_> = (first..6).map(|row| left_out.repeat(&rows, row).unwrap()).collect();
            let (same, different) = (Some(Repeat::Same), Some(Repeat::Different(Uuid::from_u128(early))));
            assert_eq!(found, [None, different, different, same, None, different][first..]);
        }
        assert!(LeftOut::open(folder.path(), 202603).unwrap().next.is_some());
        let mut without = LeftOut::open(folder.path(), 202602).unwrap();
        assert_eq!(without.repeat(&rows, 0).unwrap(), None);
    }
}
