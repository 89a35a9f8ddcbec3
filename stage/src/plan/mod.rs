//! Where a newly assigned partition continues: a pure decision from the group's commit, the ledger, the tables and the
//! log. [`crate::facts`] gathers the facts.
//!
//! The commit says where we are, the ledger what is surely stored, the tables what may be stored besides, the log what
//! can still be read. They disagree after every kind of accident, and each disagreement has one answer here:
//!
//! | what is seen | what it means | answer |
//! |---|---|---|
//! | pending intent at the ledger's end | crash during a batch | recover the same range under the same tokens |
//! | a batch was begun at the ledger's end, but there is no intent | the commit was lost or reset | recover the range as it was begun |
//! | ledger ahead of the commit | crash between ledger and commit, or an operator's offset reset | continue at the ledger's end |
//! | no commit, but a ledger | the commit expired (7 idle days) | continue at the ledger's end |
//! | commit ahead of the ledger | tables restored from a backup | rewind to the ledger's end, insert only what is missing |
//! | pending intent of a clock that was further ahead than the tables allow | nothing of that batch is stored | no intent |
//! | pending intent of an epoch that a rebuild has left behind, and no batch was begun | once its writer's lease is over, nothing of that batch is stored nor ever will be | other batches, of the present epoch |
//! | rows beyond the commit without an intent | a stale commit overwrote the intent | recover up to the last row, insert only what is missing |
//! | the log is shorter than what we know of it | it lost its end (a power cut, an unclean election) | a new log epoch, from the last batch that is unchanged |
//! | the last record of the ledger, of the pending batch or of the rows is a different one now | the log lost its end and was written on, or the topic was deleted and recreated | the same; if no batch is unchanged, from the log's start |
//! | our own commit, but an empty ledger | the tables were lost | read all that the log has, insert only what is missing |
//! | our own commit, and a ledger of an earlier life whose end the log still has | tables restored from a backup of that life | rewind to the ledger's end, insert only what is missing |
//! | another stage has entered a later life, and all that we read is unchanged | the log lost its end behind what we had read, or before our time | that life, once nothing is pending and we have reached its start |
//! | neither a commit nor a ledger | nothing was read yet | begin where the log begins, or began when the partition was announced, and say so in the ledger |
//! | a commit without our metadata, and no ledger | an operator chose where to begin | begin there, and say so in the ledger |
//! | the log starts behind where we continue | deleted before it was read | a gap: an incident and a ledger entry |

use crate::intent::{Committed, Intent};

/// The end of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEnd {
    /// Life of the log in its newest row.
    pub log_epoch: u32,
    /// Largest end offset of that life.
    pub end: i64,
    /// Largest watermark that its batches froze, ms since 1970; 0 where the stage has none.
    pub watermark_ms: i64,
    /// Largest watermark that is stated after one of its batches, or may still be by an earlier owner.
    pub stated_ms: i64,
    /// Whether the last record that was read before `end` is unchanged; `None` if that cannot be told (deleted by the
    /// topic's retention, or nothing was read yet).
    pub tail_matches: Option<bool>,
}

/// A batch that was begun according to the ledger, by a stage whose rows do not know their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// First offset.
    pub start: i64,
    /// With what it was made.
    pub intent: Intent,
}

/// A life of a log, as another stage has entered it in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// Its number.
    pub log_epoch: u32,
    /// Where it begins there. Before that offset, the log is the same as in the life before.
    pub start: i64,
}

/// What is known about a partition when it is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The group's commit, if any.
    pub committed: Option<Committed>,
    /// The ledger's end, if it has a row.
    pub ledger: Option<LedgerEnd>,
    /// First offset that the broker has.
    pub log_start: i64,
    /// Offset after the last that the broker has.
    pub log_end: i64,
    /// Offset after the last row of the known log epoch in the stage's tables, if there is one.
    pub rows_end: Option<i64>,
    /// Whether the tables refuse whatever the writer of the commit's intent sends of that batch, because its clock was
    /// ahead. What it froze by that clock must come into no table.
    pub is_refused: bool,
    /// Whether rows know which records they are made of.
    pub rows_know_records: bool,
    /// The batch of the known log epoch that was begun at or behind the ledger's end.
    pub begun: Option<Begun>,
    /// Epoch of new batches; 0 for a stage without epochs.
    pub write_epoch: u32,
    /// Whether the last record of the pending batch and that of the last row are unchanged; `None` if that cannot be
    /// told.
    pub pending_matches: Option<bool>,
    /// Where the log began when the partition was announced, which was added to its topic and of which nothing was read.
    pub announced_start: Option<i64>,
    /// The newest life of the log that other stages have entered.
    pub others: Option<Life>,
    /// If the log is not what is known of it: the end of the newest batch in the ledger whose last record the log still
    /// has, unchanged.
    pub surviving_end: Option<i64>,
}

impl Facts {
    /// The batch that was begun and is not known to be stored.
    pub fn pending(&self) -> Option<Intent> {
        let (committed, _) = of_this_life(self);
        let intent = committed.and_then(Committed::intent);
        intent.or(self.begun.map(|begun| begun.intent))
    }

    /// The life of the log that the group's commit and the ledger know of.
    pub fn known_epoch(&self) -> u32 {
        known_epoch(self.committed, self.ledger.map(|ledger| ledger.log_epoch))
    }

    /// Whether the log's end is the only evidence of another log.
    pub fn is_merely_shorter(&self) -> bool {
        is_cut(self) && !self.has_other_records()
    }

    /// Whether the log is not the one that was read: it is shorter, or has other records.
    pub fn is_new_life(&self) -> bool {
        is_cut(self) || self.has_other_records()
    }

    fn has_other_records(&self) -> bool {
        let (_, ledger) = of_this_life(self);
        ledger.is_some_and(|ledger| ledger.tail_matches == Some(false)) || self.pending_matches == Some(false)
    }
}

/// A range to recover before new batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Insert it again under the tokens of this intent, then read it back.
    Repeat(Intent),
    /// Insert what the tables lack of the records up to this offset.
    Fill {
        /// Offset after the last record that may have been stored.
        end: i64,
    },
}

/// Where a partition continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Life of the log.
    pub log_epoch: u32,
    /// What begins with this plan, if anything; written to the ledger before anything else.
    pub beginning: Option<Beginning>,
    /// Start of the next range.
    pub start: i64,
    /// Offset to fetch from: `start`, or behind it if the log has lost records.
    pub fetch_from: i64,
    /// Offsets that the log has lost.
    pub gap: Option<Gap>,
    /// If a new life begins: offsets of the life before that lie behind its ledger and may be partly stored.
    pub left_behind: Option<Gap>,
    /// What has to be recovered first.
    pub recovery: Option<Recovery>,
}

impl Plan {
    /// Whether a pending batch is repeated although the log has lost a part of it.
    pub fn repeats_a_part(&self) -> bool {
        self.start < self.fetch_from
    }

    /// Whether something is recovered in another way than its writer began it: what is pending according to `facts`, or
    /// rows that no intent accounts for. What a dead writer sent of it, rows or the batch's ledger row, would then land
    /// beside what recovers it.
    pub fn recovers_otherwise(&self, facts: &Facts) -> bool {
        let (committed, ledger) = of_this_life(facts);
        let has_more_rows = || known_end(committed, ledger).is_some_and(|known| facts.rows_end > Some(known));
        match self.recovery {
            Some(Recovery::Fill { .. }) => true,
            // They are in a gap or in a life that is left behind, and are counted there.
            None if has_more_rows() => true,
            recovery => {
                let pending = facts.pending();
                let pending = pending.filter(|intent| ledger.is_none_or(|ledger| intent.end > ledger.end));
                pending.is_some_and(|intent| recovery != Some(Recovery::Repeat(intent)) || self.repeats_a_part())
            }
        }
    }
}

/// What begins at the start of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// A new life of the log: it was recreated, or lost its end.
    NewLife,
    /// A life that another stage had entered. What this stage has read of the log is unchanged.
    TakenOver,
    /// The first life, where the log begins or where an operator chose to begin. Without its row in the ledger, nobody
    /// would know of records deleted before the first batch, and the commit of that batch would look like that of a
    /// group whose tables were lost.
    First,
}

/// Offsets `[start, end)` that were deleted from the log before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// First offset.
    pub start: i64,
    /// Offset after the last.
    pub end: i64,
}

/// First epoch of a log.
const FIRST_EPOCH: u32 = 1;

/// Decides where a partition continues.
pub fn decide(facts: &Facts) -> Plan {
    let log_epoch = facts.known_epoch();
    if facts.is_new_life() {
        let others = facts.others.map_or(0, |life| life.log_epoch);
        return new_life(facts, others.max(log_epoch + 1));
    }
    let plan = in_this_life(facts, log_epoch);
    // What has to be recovered or reported belongs to the life in which it was read, as does everything before the
    // start of the later one.
    let later = |life: &Life| life.log_epoch > log_epoch && plan.start >= life.start;
    match facts.others.filter(later) {
        Some(life) if plan.recovery.is_none() && plan.gap.is_none() => Plan {
            log_epoch: life.log_epoch,
            beginning: Some(Beginning::TakenOver),
            ..plan
        },
        _ => plan,
    }
}

fn in_this_life(facts: &Facts, log_epoch: u32) -> Plan {
    let (committed, ledger) = of_this_life(facts);
    let Some(known_end) = known_end(committed, ledger) else {
        // What was deleted while it waited for the others to count it is a gap.
        let announced = facts.announced_start.unwrap_or(facts.log_start);
        return first_life(log_epoch, announced.min(facts.log_start), facts);
    };
    let rows_end = facts.rows_end;
    let intent = committed.and_then(Committed::intent);
    match (committed, ledger) {
        // The tables know less than the group: they were restored from a backup.
        (Some(committed), Some(ledger)) if committed.offset > ledger.end => {
            let pending_end = intent.map_or(committed.offset, |intent| intent.end);
            let end = rows_end.unwrap_or(pending_end).max(committed.offset);
            let recovery = begun_at(ledger.end, facts).unwrap_or(Recovery::Fill { end });
            at(log_epoch, ledger.end, facts, Some(recovery))
        }
        // Our commit at the log's start without a ledger is that of the very first batch; further on, the tables were
        // lost.
        (
            Some(Committed {
                offset,
                metadata: Some(_),
            }),
            None,
        ) if offset > facts.log_start => {
            let end = intent
                .map_or(offset, |intent| intent.end)
                .max(rows_end.unwrap_or(offset));
            // Tables restored to an earlier life still match the log up to the ledger's end.
            let restored = facts.ledger.filter(|ledger| ledger.tail_matches == Some(true));
            let start = restored.map_or(facts.log_start, |ledger| ledger.end.max(facts.log_start));
            let recovery = begun_at(start, facts).unwrap_or(Recovery::Fill { end });
            at(log_epoch, start, facts, Some(recovery))
        }
        (Some(Committed { offset, metadata: None }), None) => first_life(log_epoch, offset, facts),
        // The normal case, and a first batch without a ledger row.
        (Some(committed), _) if committed.offset == known_end => at(
            log_epoch,
            committed.offset,
            facts,
            recovery(committed.offset, intent, facts),
        ),
        // No commit, or the ledger is ahead of it.
        _ => at(log_epoch, known_end, facts, recovery(known_end, None, facts)),
    }
}

/// Begins where nothing was read, unless the very first batch was begun and its commit lost.
fn first_life(log_epoch: u32, start: i64, facts: &Facts) -> Plan {
    Plan {
        beginning: Some(Beginning::First),
        ..at(log_epoch, start, facts, recovery(start, None, facts))
    }
}

/// The batch that was begun at `start`, to be made again as it was.
fn begun_at(start: i64, facts: &Facts) -> Option<Recovery> {
    let begun = facts.begun.filter(|begun| begun.start == start);
    begun.map(|begun| Recovery::Repeat(begun.intent))
}

/// The life of the log that the group's commit and the ledger know of.
pub fn known_epoch(committed: Option<Committed>, ledger_epoch: Option<u32>) -> u32 {
    let committed_epoch = committed.and_then(|c| c.metadata).map(|m| m.log_epoch);
    committed_epoch.max(ledger_epoch).unwrap_or(FIRST_EPOCH)
}

/// The commit and the ledger if they are of the newest known life of the log: those of an earlier life say nothing
/// about it.
fn of_this_life(facts: &Facts) -> (Option<Committed>, Option<LedgerEnd>) {
    let log_epoch = facts.known_epoch();
    let is_current = |committed: &Committed| {
        committed
            .metadata
            .is_none_or(|metadata| metadata.log_epoch == log_epoch)
    };
    let committed = facts
        .committed
        .filter(is_current)
        .filter(|committed| !is_beyond(committed, facts))
        .map(|committed| match facts.is_refused {
            true => committed.without_intent(),
            false => committed,
        });
    (committed, facts.ledger.filter(|ledger| ledger.log_epoch == log_epoch))
}

/// Offset after the last record that is surely stored, or lost, by either.
fn known_end(committed: Option<Committed>, ledger: Option<LedgerEnd>) -> Option<i64> {
    committed.map(|c| c.offset).max(ledger.map(|l| l.end))
}

/// Whether the log ends before an offset that was surely read, or that a batch or a row reaches.
fn is_cut(facts: &Facts) -> bool {
    let (committed, ledger) = of_this_life(facts);
    let ends = [committed.map(|c| c.offset), ledger.map(|l| l.end), begun_end(facts)];
    ends.into_iter().flatten().any(|end| end > facts.log_end)
}

/// Offset after the last record of the known life that may be stored beyond what is surely stored.
fn begun_end(facts: &Facts) -> Option<i64> {
    let pending = facts.pending().map(|intent| intent.end);
    pending
        .max(facts.begun.map(|begun| begun.intent.end))
        .max(facts.rows_end)
}

/// An offset beyond the log that an operator set: it says nothing about what was read.
fn is_beyond(committed: &Committed, facts: &Facts) -> bool {
    committed.metadata.is_none() && committed.offset > facts.log_end
}

/// What has to be recovered, from `start` on.
fn recovery(start: i64, intent: Option<Intent>, facts: &Facts) -> Option<Recovery> {
    // What was begun may be stored under its tokens, partly or wholly, whatever a stale commit says. So it is repeated
    // as it was, even if it was to fill up.
    if let Some(begun) = begun_at(start, facts) {
        return Some(begun);
    }
    // A rebuild that did not know of a batch would hide what is stored of it under an older epoch.
    let is_hidden = |intent: &Intent| intent.write_epoch < facts.write_epoch;
    let intent = intent.filter(|intent| intent.end > start && !is_hidden(intent));
    let rows_end = facts.rows_end.filter(|&end| end > start);
    match (intent, rows_end) {
        (Some(intent), Some(end)) if end > intent.end => Some(Recovery::Fill { end }),
        // If a fill were cut into other pieces, records of a writer that still sends would be stored twice, unless rows
        // know their records.
        (Some(intent), _) if intent.fill && facts.rows_know_records => Some(Recovery::Fill { end: intent.end }),
        (Some(intent), _) => Some(Recovery::Repeat(intent)),
        (None, Some(end)) => Some(Recovery::Fill { end }),
        (None, None) => None,
    }
}

fn new_life(facts: &Facts, log_epoch: u32) -> Plan {
    let start = facts.surviving_end.unwrap_or(facts.log_start).max(facts.log_start);
    let (committed, ledger) = of_this_life(facts);
    let stored_end = ledger.map(|l| l.end).or(committed.map(|c| c.offset)).unwrap_or(0);
    let left_behind = begun_end(facts).map(|end| Gap { start: stored_end, end });
    Plan {
        log_epoch,
        beginning: Some(Beginning::NewLife),
        start,
        fetch_from: start,
        gap: None,
        left_behind: left_behind.filter(|gap| gap.start < gap.end),
        recovery: None,
    }
}

fn at(log_epoch: u32, start: i64, facts: &Facts, recovery: Option<Recovery>) -> Plan {
    let fetch_from = start.max(facts.log_start);
    let gap = (fetch_from > start).then_some(Gap { start, end: fetch_from });
    // Lost records cannot be recovered; what is stored of them is already in the tables.
    let recovery = recovery.filter(|recovery| match recovery {
        Recovery::Repeat(intent) => intent.end > fetch_from,
        Recovery::Fill { end } => *end > fetch_from,
    });
    // Only a repeated range keeps its start, which is part of its tokens; the others begin behind the gap.
    let repeats = matches!(recovery, Some(Recovery::Repeat(_)));
    let start = if repeats { start } else { fetch_from };
    Plan {
        log_epoch,
        beginning: None,
        start,
        fetch_from,
        gap,
        left_behind: None,
        recovery,
    }
}

#[cfg(test)]
mod tests;
