//! What the end of a log means for a partition that is under way: a pure decision. Asking for it is [`crate::member`]'s work.

use crate::plan::Life;

/// The end of a log, and what was known when it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct LogEnd {
    /// First offset of the log.
    pub start: i64,
    /// Offset after the last record, or after the markers of transactions behind it; records of open transactions count.
    pub end: i64,
    /// Whether there are only such markers from `next_offset` on.
    pub is_read: bool,
    /// Whether the log had nothing to hand out from `next_offset` on: it ends there, for readers of what is committed.
    pub has_nothing: bool,
    /// Whether nothing has come for long, though the log has records from `next_offset` on, or cannot be read there, or begins behind it.
    pub is_withheld: bool,
    /// Partitions of the topic.
    pub partitions: i32,
    /// When it was asked, ms since 1970.
    pub asked_at_ms: i64,
    /// What had been read then.
    pub next_offset: i64,
    /// The epoch of partial aggregates that was known then: an owner that slept since must not speak of a later one.
    pub write_epoch: u32,
}

/// Where a partition is when the answer comes.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    /// Life of its log.
    pub log_epoch: u32,
    /// The group's commit.
    pub committed: i64,
    /// Offset of the record that comes next.
    pub next_offset: i64,
}

/// What the answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// The log ends before what had been read when it was asked for: it was cut or made again.
    Cut,
    /// Nothing comes, though the log has more.
    Withheld,
    /// Another stage counts a later life of the log, and the partition has come to where that one begins.
    LaterLife(Life),
    /// The partition goes on.
    Whole {
        /// Where it has read everything.
        end: i64,
    },
}

impl LogEnd {
    /// What it means for a partition that is there now; `others` is the newest life that other stages count.
    pub fn finding(&self, at: &Position, others: Option<Life>) -> Finding {
        let is_still_there = at.next_offset == self.next_offset;
        let has_come_to = |life: &Life| life.log_epoch > at.log_epoch && at.committed >= life.start;
        if self.next_offset > self.end {
            Finding::Cut
        } else if is_still_there && self.is_withheld {
            Finding::Withheld
        } else if let Some(life) = others.filter(has_come_to) {
            Finding::LaterLife(life)
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
        is_read: false,
        has_nothing: true,
        is_withheld: false,
        partitions: 1,
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
