//! Each row of the table of accidents.

use super::*;
use crate::intent::CommitMetadata;

mod lives;

const LOG: Facts = Facts {
    committed: None,
    ledger: None,
    log_start: 0,
    log_end: 1000,
    rows_end: None,
    is_refused: false,
    rows_know_records: true,
    begun: None,
    write_epoch: 0,
    pending_matches: None,
    announced_start: None,
    others: None,
    surviving_end: None,
};

fn committed(offset: i64, log_epoch: u32, end: Option<i64>) -> Option<Committed> {
    committed_with(offset, log_epoch, end.map(intent))
}

fn committed_with(offset: i64, log_epoch: u32, intent: Option<Intent>) -> Option<Committed> {
    Some(Committed {
        offset,
        metadata: Some(CommitMetadata::new(log_epoch, intent)),
    })
}

fn chosen_by_operator(offset: i64) -> Option<Committed> {
    Some(Committed { offset, metadata: None })
}

fn intent(end: i64) -> Intent {
    Intent {
        end,
        rules_version: 1,
        watermark_ms: 7,
        at_ms: 9,
        write_epoch: 4,
        fill: false,
        tail: None,
    }
}

fn ledger(log_epoch: u32, end: i64) -> Option<LedgerEnd> {
    ledger_with(Some(true), log_epoch, end)
}

fn ledger_with(tail_matches: Option<bool>, log_epoch: u32, end: i64) -> Option<LedgerEnd> {
    Some(LedgerEnd {
        log_epoch,
        end,
        watermark_ms: 0,
        stated_ms: 0,
        tail_matches,
    })
}

fn begun(start: i64, end: i64) -> Option<Begun> {
    let intent = intent(end);
    Some(Begun { start, intent })
}

/// Everything before `end` is stored and committed.
fn stored(end: i64) -> Facts {
    Facts {
        committed: committed(end, 1, None),
        ledger: ledger(1, end),
        ..LOG
    }
}

/// The same before `start`, with a batch up to `end` in progress.
fn pending(start: i64, end: i64) -> Facts {
    Facts {
        committed: committed(start, 1, Some(end)),
        ..stored(start)
    }
}

fn plain(start: i64) -> Plan {
    Plan {
        log_epoch: 1,
        beginning: None,
        start,
        fetch_from: start,
        gap: None,
        left_behind: None,
        recovery: None,
    }
}

#[test]
fn begins_at_the_start_of_an_unknown_log_and_knows_what_is_deleted_from_then_on() {
    let first = Facts { log_start: 40, ..LOG };
    let begins = Plan {
        beginning: Some(Beginning::First),
        ..plain(40)
    };
    assert_eq!(decide(&first), begins);
    let deleted = Facts {
        ledger: ledger(1, 40),
        log_start: 60,
        ..LOG
    };
    let lost = Plan {
        gap: Some(Gap { start: 40, end: 60 }),
        ..plain(60)
    };
    assert_eq!(decide(&deleted), lost);
    let while_it_waited = Facts {
        announced_start: Some(40),
        log_start: 60,
        ..LOG
    };
    let begins = Plan {
        beginning: Some(Beginning::First),
        ..lost
    };
    assert_eq!(decide(&while_it_waited), begins);
}

#[test]
fn goes_on_at_the_commit() {
    assert_eq!(decide(&stored(100)), plain(100));
}

#[test]
fn repeats_the_pending_batch_after_a_crash() {
    let facts = Facts {
        rows_end: Some(150),
        ..pending(100, 150)
    };
    assert_eq!(
        decide(&facts),
        Plan {
            recovery: Some(Recovery::Repeat(intent(150))),
            ..plain(100)
        }
    );
}

#[test]
fn a_pending_batch_of_a_clock_that_was_ahead_is_not_repeated() {
    let refused = Facts {
        is_refused: true,
        ..pending(100, 150)
    };
    assert_eq!(decide(&refused), plain(100));
    assert!(!decide(&refused).recovers_otherwise(&refused), "nothing of it can land");
    // The tables know better.
    let has_rows = Facts {
        rows_end: Some(150),
        ..refused
    };
    assert_eq!(decide(&has_rows).recovery, Some(Recovery::Fill { end: 150 }));
    let begun = Facts {
        begun: begun(100, 150),
        rows_know_records: false,
        ..refused
    };
    assert_eq!(decide(&begun).recovery, Some(Recovery::Repeat(intent(150))));
}

#[test]
fn does_not_repeat_a_batch_that_is_in_the_ledger() {
    let facts = Facts {
        committed: committed(100, 1, Some(150)),
        ledger: ledger(1, 150),
        rows_end: Some(150),
        ..LOG
    };
    assert_eq!(decide(&facts), plain(150));
}

#[test]
fn an_expired_commit_goes_on_at_the_end_of_the_ledger() {
    assert_eq!(
        decide(&Facts {
            ledger: ledger(1, 150),
            rows_end: Some(150),
            ..LOG
        }),
        plain(150)
    );
}

#[test]
fn a_restored_backup_is_filled_up() {
    let facts = Facts {
        committed: committed(500, 1, None),
        ledger: ledger(1, 150),
        rows_end: Some(180),
        ..LOG
    };
    assert_eq!(
        decide(&facts),
        Plan {
            recovery: Some(Recovery::Fill { end: 500 }),
            ..plain(150)
        }
    );
}

#[test]
fn rows_that_no_intent_accounts_for_are_part_of_what_is_recovered() {
    let facts = Facts {
        rows_end: Some(150),
        ..pending(100, 120)
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Fill { end: 150 }));
}

#[test]
fn what_is_not_repeated_as_it_was_has_to_wait_for_its_writer() {
    let rows = |facts: Facts| Facts {
        rows_end: Some(150),
        ..facts
    };
    for (facts, waits) in [
        (rows(stored(100)), true),
        (rows(pending(100, 120)), true),
        (rows(pending(100, 150)), false),
        (
            Facts {
                log_start: 160,
                ..rows(stored(100))
            },
            true,
        ),
        (stored(100), false),
    ] {
        assert_eq!(decide(&facts).recovers_otherwise(&facts), waits, "{facts:?}");
    }
}

#[test]
fn lost_tables_are_filled_from_what_the_log_has() {
    let facts = Facts {
        committed: committed(500, 1, Some(520)),
        log_start: 40,
        ..LOG
    };
    let expected = Plan {
        recovery: Some(Recovery::Fill { end: 520 }),
        ..plain(40)
    };
    assert_eq!(decide(&facts), expected);
}

#[test]
fn deleted_records_are_a_gap_and_never_a_silent_jump() {
    let facts = Facts {
        log_start: 130,
        ..stored(100)
    };
    assert_eq!(
        decide(&facts),
        Plan {
            gap: Some(Gap { start: 100, end: 130 }),
            ..plain(130)
        }
    );
}

#[test]
fn a_gap_before_rows_that_are_filled_up_is_no_part_of_their_range() {
    let facts = Facts {
        committed: committed(200, 1, None),
        ledger: ledger(1, 100),
        log_start: 130,
        ..LOG
    };
    let expected = Plan {
        gap: Some(Gap { start: 100, end: 130 }),
        recovery: Some(Recovery::Fill { end: 200 }),
        ..plain(130)
    };
    assert_eq!(decide(&facts), expected);
}

#[test]
fn a_gap_in_a_pending_batch_keeps_its_range_and_so_its_tokens() {
    let facts = Facts {
        log_start: 130,
        ..pending(100, 150)
    };
    let expected = Plan {
        fetch_from: 130,
        gap: Some(Gap { start: 100, end: 130 }),
        recovery: Some(Recovery::Repeat(intent(150))),
        ..plain(100)
    };
    assert_eq!(decide(&facts), expected);
}

#[test]
fn an_offset_reset_by_an_operator_does_not_store_twice() {
    assert_eq!(
        decide(&Facts {
            committed: chosen_by_operator(10),
            ledger: ledger(1, 150),
            ..LOG
        }),
        plain(150)
    );
}

#[test]
fn repeats_a_batch_that_was_begun_when_its_intent_is_lost() {
    let repeated = |start, end| Plan {
        recovery: Some(Recovery::Repeat(intent(end))),
        ..plain(start)
    };
    for committed in [
        None,
        committed(100, 1, None),
        committed(20, 1, None),
        committed(130, 1, None),
    ] {
        let facts = Facts {
            committed,
            ledger: ledger(1, 100),
            begun: begun(100, 150),
            ..LOG
        };
        assert_eq!(decide(&facts), repeated(100, 150), "{committed:?}");
    }
    let first = Facts {
        begun: begun(0, 50),
        ..LOG
    };
    let begins = Plan {
        beginning: Some(Beginning::First),
        ..repeated(0, 50)
    };
    assert_eq!(decide(&first), begins, "before any commit");
}

#[test]
fn a_batch_that_a_rebuild_does_not_know_is_made_anew_once_its_writer_is_fenced() {
    let at_epoch = |write_epoch| Facts {
        rows_know_records: false,
        write_epoch,
        ..pending(100, 150)
    };
    let repeated = Plan {
        recovery: Some(Recovery::Repeat(intent(150))),
        ..plain(100)
    };
    let present = at_epoch(4);
    assert_eq!(decide(&present), repeated);
    assert!(!repeated.recovers_otherwise(&present));

    let hidden = at_epoch(6);
    assert_eq!(decide(&hidden), plain(100));
    assert!(plain(100).recovers_otherwise(&hidden), "its writer may still begin it");

    let begun = Facts {
        begun: begun(100, 150),
        ..hidden
    };
    assert_eq!(decide(&begun), repeated, "the rebuild waits for it");
    assert!(!repeated.recovers_otherwise(&begun));
}

#[test]
fn a_batch_that_was_begun_elsewhere_says_nothing() {
    let facts = Facts {
        begun: begun(120, 150),
        ..stored(100)
    };
    assert_eq!(decide(&facts), plain(100));
}

#[test]
fn a_crash_while_filling_is_filled_again() {
    let pending = Intent {
        fill: true,
        ..intent(150)
    };
    let facts = Facts {
        committed: committed_with(100, 1, Some(pending)),
        ledger: ledger(1, 100),
        ..LOG
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Fill { end: 150 }));
}

#[test]
fn a_start_that_an_operator_chose_is_told_to_the_ledger_and_kept() {
    let chosen = Facts {
        committed: chosen_by_operator(700),
        ..LOG
    };
    assert_eq!(
        decide(&chosen),
        Plan {
            beginning: Some(Beginning::First),
            ..plain(700)
        }
    );
    // The first batch dies with its rows stored.
    let died = Facts {
        committed: committed(700, 1, Some(750)),
        ledger: ledger_with(None, 1, 700),
        rows_end: Some(750),
        ..LOG
    };
    assert_eq!(
        decide(&died),
        Plan {
            recovery: Some(Recovery::Repeat(intent(750))),
            ..plain(700)
        }
    );
}

#[test]
fn a_batch_that_was_begun_is_repeated_also_where_it_was_to_fill_up() {
    let fill = Intent {
        fill: true,
        ..intent(200)
    };
    let facts = Facts {
        committed: committed_with(150, 1, Some(fill)),
        ledger: ledger(1, 150),
        begun: begun(150, 200),
        ..LOG
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Repeat(intent(200))));
}
