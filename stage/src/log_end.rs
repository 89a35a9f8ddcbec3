//! What the end of a log means for an active partition: a pure decision. [`crate::member`] asks for the end.

use crate::growth::Growth;
use crate::plan::Life;

/// The end of a log, and what was known when it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct LogEnd {
    /// First offset of the log.
    pub start: i64,
    /// Offset after the last record, or after the transaction markers behind it; records of open transactions count.
    pub end: i64,
    /// How many offsets of it are not stable: they are in an open transaction, or behind one.
    pub unstable: i64,
    /// Whether there are only such markers from `next_offset` on.
    pub is_read: bool,
    /// Whether the log hands out nothing from `next_offset` on: for readers of committed records it ends there.
    pub has_nothing: bool,
    /// Whether nothing has arrived for long although the log has records from `next_offset` on, cannot be read there,
    /// or begins behind it.
    pub is_withheld: bool,
    /// Whether the partition was suspected when it was asked.
    pub is_suspected: bool,
    /// What the partition may state of the topic's number of partitions.
    pub growth: Growth,
    /// When it was asked, ms since 1970.
    pub asked_at_ms: i64,
    /// The next offset to be read at that time.
    pub next_offset: i64,
    /// The epoch of partial aggregates known at that time: an owner that has paused since must not name a later one.
    pub write_epoch: u32,
}

/// Where a partition is when the answer arrives.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Life of its log.
    pub log_epoch: u32,
    /// The group's commit.
    pub committed: i64,
    /// Offset of the next record.
    pub next_offset: i64,
}

/// What the answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The log ended before what had been read when it was asked for: it was cut or recreated.
    Cut,
    /// Nothing arrives, though the log has more.
    Withheld,
    /// The log has deleted records that are not known to be stored, and what comes next may not arrive.
    Overtaken,
    /// The log still has everything that is not known to be stored; it may be another one.
    Suspected,
    /// Another stage has entered a later life of the log, and the partition has reached the start of that life.
    LaterLife(Life),
    /// The partition continues.
    Whole {
        /// Where it has read everything.
        end: i64,
    },
}

impl LogEnd {
    /// What the answer means for a partition that is at `at` now; `others` is the newest life of the other stages.
    pub fn finding(&self, at: &Position, others: Option<Life>) -> Finding {
        let is_still_there = at.next_offset == self.next_offset;
        let is_overtaken = at.committed < self.start;
        let has_come_to = |life: &Life| life.log_epoch > at.log_epoch && at.committed >= life.start;
        if self.next_offset > self.end {
            Finding::Cut
        } else if is_still_there && self.is_withheld && !is_overtaken {
            Finding::Withheld
        } else if let Some(life) = others.filter(has_come_to) {
            Finding::LaterLife(life)
        } else if is_overtaken && (self.is_suspected || (is_still_there && self.is_withheld)) {
            Finding::Overtaken
        } else if self.is_suspected {
            Finding::Suspected
        } else if is_still_there && self.is_read {
            Finding::Whole { end: at.next_offset }
        } else {
            Finding::Whole { end: self.end }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked when everything was read.
    const READ: LogEnd = LogEnd {
        start: 0,
        end: 100,
        unstable: 0,
        is_read: false,
        has_nothing: true,
        is_withheld: false,
        is_suspected: false,
        growth: Growth {
            counted: 1,
            is_whole: true,
        },
        asked_at_ms: 0,
        next_offset: 100,
        write_epoch: 0,
    };
    const AT: Position = Position {
        log_epoch: 1,
        committed: 80,
        next_offset: 100,
    };
    const ON: Position = Position { next_offset: 101, ..AT };

    #[test]
    fn a_log_is_cut_that_ends_before_what_had_been_read_when_it_was_asked_for() {
        let cut = LogEnd { end: 99, ..READ };
        assert_eq!(cut.finding(&AT, None), Finding::Cut);
        assert_eq!(cut.finding(&ON, None), Finding::Cut);
        let grown_since = READ.finding(&ON, None);
        assert_eq!(
            grown_since,
            Finding::Whole { end: 100 },
            "it was whole when it was asked for"
        );
    }

    #[test]
    fn what_came_since_is_not_withheld() {
        let withheld = LogEnd {
            end: 200,
            is_withheld: true,
            ..READ
        };
        assert_eq!(withheld.finding(&AT, None), Finding::Withheld);
        assert_eq!(withheld.finding(&ON, None), Finding::Whole { end: 200 });
    }

    #[test]
    fn what_is_held_and_deleted_is_stored_before_a_suspected_partition_begins_anew() {
        let suspected = LogEnd {
            end: 200,
            is_suspected: true,
            ..READ
        };
        assert_eq!(suspected.finding(&AT, None), Finding::Suspected);
        let to = |start| LogEnd { start, ..suspected };
        assert_eq!(
            to(80).finding(&AT, None),
            Finding::Suspected,
            "the log has all that is held"
        );
        assert_eq!(to(81).finding(&AT, None), Finding::Overtaken);
        let withheld = LogEnd {
            is_suspected: false,
            is_withheld: true,
            ..to(81)
        };
        assert_eq!(withheld.finding(&AT, None), Finding::Overtaken);
        assert_eq!(withheld.finding(&ON, None), Finding::Whole { end: 200 });
        let cut = LogEnd { end: 99, ..to(81) };
        assert_eq!(
            cut.finding(&AT, None),
            Finding::Cut,
            "what is held may not be what the log had"
        );
    }

    #[test]
    fn a_later_life_counts_where_it_begins() {
        let life = |log_epoch, start| Some(Life { log_epoch, start });
        let found = |others| READ.finding(&AT, others);
        assert_eq!(
            found(life(2, 80)),
            Finding::LaterLife(Life {
                log_epoch: 2,
                start: 80
            })
        );
        for not_yet in [life(2, 81), life(1, 0), None] {
            assert_eq!(found(not_yet), Finding::Whole { end: 100 }, "{not_yet:?}");
        }
    }

    #[test]
    fn a_log_with_nothing_but_markers_behind_what_was_read_is_read() {
        let markers = LogEnd {
            end: 103,
            is_read: true,
            ..READ
        };
        assert_eq!(markers.finding(&AT, None), Finding::Whole { end: 100 });
        assert_eq!(markers.finding(&ON, None), Finding::Whole { end: 103 });
    }
}
