//! Each row of the table of accidents.

use super::*;
use crate::intent::CommitMetadata;

const LOG: Facts = Facts {
    committed: None,
    ledger: None,
    log_start: 0,
    log_end: 1000,
    rows_end: None,
    rows_know_records: true,
    begun: None,
    pending_matches: None,
    others: None,
    surviving_end: None,
};

fn committed(offset: i64, log_epoch: u32, end: Option<i64>) -> Option<Committed> {
    Some(Committed {
        offset,
        metadata: Some(CommitMetadata::new(log_epoch, end.map(intent))),
    })
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
    Some(LedgerEnd {
        log_epoch,
        end,
        watermark_ms: 0,
        tail_matches: Some(true),
    })
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

/// The log was made again.
fn second_life(start: i64) -> Plan {
    Plan {
        log_epoch: 2,
        beginning: Some(Beginning::NewLife),
        ..plain(start)
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
}

#[test]
fn goes_on_at_the_commit() {
    assert_eq!(
        decide(&Facts {
            committed: committed(100, 1, None),
            ledger: ledger(1, 100),
            ..LOG
        }),
        plain(100)
    );
}

#[test]
fn repeats_the_pending_batch_after_a_crash() {
    let facts = Facts {
        committed: committed(100, 1, Some(150)),
        ledger: ledger(1, 100),
        rows_end: Some(150),
        ..LOG
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
        committed: committed(100, 1, Some(120)),
        ledger: ledger(1, 100),
        rows_end: Some(150),
        ..LOG
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Fill { end: 150 }));
}

#[test]
fn a_shorter_log_is_a_new_life() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: ledger(1, 100),
        log_end: 20,
        ..LOG
    };
    assert_eq!(decide(&facts), second_life(0));
}

#[test]
fn an_answer_that_is_only_too_short_is_told_from_a_log_with_other_records() {
    let short = Facts {
        committed: committed(1_100, 1, None),
        ledger: ledger(1, 1_100).map(|ledger| LedgerEnd {
            watermark_ms: 0,
            tail_matches: None,
            ..ledger
        }),
        ..LOG
    };
    assert!(short.is_new_life() && short.is_merely_shorter());
    let other = Facts {
        pending_matches: Some(false),
        ..short
    };
    assert!(other.is_new_life() && !other.is_merely_shorter());
    let whole = Facts {
        log_end: 1_100,
        ..short
    };
    assert!(!whole.is_new_life() && !whole.is_merely_shorter());
}

#[test]
fn a_log_that_lost_its_end_goes_on_behind_the_last_batch_that_survived() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: ledger(1, 100),
        log_end: 70,
        surviving_end: Some(60),
        ..LOG
    };
    assert_eq!(decide(&facts), second_life(60));
}

#[test]
fn a_log_that_was_cut_inside_the_pending_batch_is_not_taken_for_whole() {
    let facts = Facts {
        committed: committed(100, 1, Some(150)),
        ledger: ledger(1, 100),
        log_end: 120,
        surviving_end: Some(100),
        ..LOG
    };
    let expected = Plan {
        left_behind: Some(Gap { start: 100, end: 150 }),
        ..second_life(100)
    };
    assert_eq!(decide(&facts), expected);
}

#[test]
fn a_log_that_was_cut_inside_a_batch_whose_intent_is_lost_too_is_not_taken_for_whole() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: ledger(1, 100),
        begun: begun(100, 150),
        log_end: 120,
        surviving_end: Some(100),
        ..LOG
    };
    assert_eq!(decide(&facts).beginning, Some(Beginning::NewLife));
}

#[test]
fn a_pending_batch_whose_records_are_others_now_is_not_repeated() {
    for facts in [
        Facts {
            committed: committed(100, 1, Some(150)),
            ..LOG
        },
        Facts {
            committed: committed(100, 1, None),
            begun: begun(100, 150),
            ..LOG
        },
    ] {
        let facts = Facts {
            ledger: ledger(1, 100),
            pending_matches: Some(false),
            surviving_end: Some(100),
            ..facts
        };
        let expected = Plan {
            left_behind: Some(Gap { start: 100, end: 150 }),
            ..second_life(100)
        };
        assert_eq!(decide(&facts), expected);
    }
}

#[test]
fn a_log_that_lost_its_end_and_got_another_goes_on_behind_the_last_batch_that_survived() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: Some(LedgerEnd {
            watermark_ms: 0,
            tail_matches: Some(false),
            ..ledger(1, 100).unwrap()
        }),
        surviving_end: Some(60),
        ..LOG
    };
    assert_eq!(decide(&facts), second_life(60));
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
fn an_operators_offset_beyond_the_log_opens_no_new_life() {
    let committed = Some(Committed {
        offset: 5_000,
        metadata: None,
    });
    let facts = Facts {
        committed,
        ledger: ledger(1, 150),
        ..LOG
    };
    assert_eq!(decide(&facts), plain(150));
}

#[test]
fn a_longer_log_with_another_tail_is_a_new_life() {
    let ledger = Some(LedgerEnd {
        log_epoch: 3,
        end: 100,
        watermark_ms: 0,
        tail_matches: Some(false),
    });
    assert_eq!(
        decide(&Facts { ledger, ..LOG }),
        Plan {
            log_epoch: 4,
            beginning: Some(Beginning::NewLife),
            ..plain(0)
        }
    );
}

#[test]
fn a_commit_of_an_earlier_life_says_nothing() {
    let ledger = Some(LedgerEnd {
        log_epoch: 2,
        end: 0,
        watermark_ms: 0,
        tail_matches: None,
    });
    let facts = Facts {
        committed: committed(100, 1, Some(150)),
        ledger,
        log_end: 50,
        ..LOG
    };
    assert_eq!(
        decide(&facts),
        Plan {
            log_epoch: 2,
            ..plain(0)
        }
    );
}

#[test]
fn deleted_records_are_a_gap_and_never_a_silent_jump() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: ledger(1, 100),
        log_start: 130,
        ..LOG
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
        committed: committed(100, 1, Some(150)),
        ledger: ledger(1, 100),
        log_start: 130,
        ..LOG
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
    let committed = Some(Committed {
        offset: 10,
        metadata: None,
    });
    assert_eq!(
        decide(&Facts {
            committed,
            ledger: ledger(1, 150),
            ..LOG
        }),
        plain(150)
    );
}

fn begun(start: i64, end: i64) -> Option<Begun> {
    Some(Begun {
        start,
        intent: intent(end),
    })
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
fn a_batch_that_was_begun_elsewhere_says_nothing() {
    let facts = Facts {
        committed: committed(100, 1, None),
        ledger: ledger(1, 100),
        begun: begun(120, 150),
        ..LOG
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
        committed: Some(Committed {
            offset: 100,
            metadata: Some(CommitMetadata::new(1, Some(pending))),
        }),
        ledger: ledger(1, 100),
        ..LOG
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Fill { end: 150 }));
}

fn life(log_epoch: u32, start: i64) -> Option<Life> {
    Some(Life { log_epoch, start })
}

#[test]
fn takes_over_a_life_that_another_stage_counts_where_it_begins_and_once_nothing_is_pending() {
    let facts = |end, start| Facts {
        committed: committed(100, 1, end),
        ledger: ledger(1, 100),
        others: life(3, start),
        ..LOG
    };
    let taken_over = Plan {
        log_epoch: 3,
        beginning: Some(Beginning::TakenOver),
        ..plain(100)
    };
    assert_eq!(decide(&facts(None, 100)), taken_over);
    assert_eq!(decide(&facts(None, 7)), taken_over);
    assert_eq!(
        decide(&facts(None, 101)),
        plain(100),
        "until then both lives are the same log"
    );
    let pending = decide(&facts(Some(150), 100));
    assert_eq!((pending.log_epoch, pending.beginning), (1, None), "{pending:?}");
    let first = decide(&Facts {
        others: life(3, 0),
        ..LOG
    });
    assert_eq!(
        (first.log_epoch, first.start),
        (3, 0),
        "whoever comes later begins in the life of the others"
    );
}

#[test]
fn a_life_that_two_stages_saw_begin_has_one_number() {
    for (others, log_epoch) in [(None, 2), (life(1, 0), 2), (life(2, 0), 2), (life(4, 0), 4)] {
        let plan = decide(&Facts {
            committed: committed(100, 1, None),
            ledger: ledger(1, 100),
            log_end: 50,
            others,
            ..LOG
        });
        assert_eq!((plan.log_epoch, plan.beginning), (log_epoch, Some(Beginning::NewLife)));
    }
}

#[test]
fn a_backup_of_an_earlier_life_is_filled_up_from_its_end() {
    let facts = |tail_matches| Facts {
        committed: committed(500, 2, None),
        ledger: Some(LedgerEnd {
            tail_matches,
            ..ledger(1, 150).unwrap()
        }),
        ..LOG
    };
    let plan = |start| Plan {
        log_epoch: 2,
        recovery: Some(Recovery::Fill { end: 500 }),
        ..plain(start)
    };
    assert_eq!(decide(&facts(Some(true))), plan(150));
    assert_eq!(decide(&facts(Some(false))), plan(0), "it is of another log");
}

#[test]
fn a_start_that_an_operator_chose_is_told_to_the_ledger_and_kept() {
    let chosen = Facts {
        committed: Some(Committed {
            offset: 700,
            metadata: None,
        }),
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
        ledger: Some(LedgerEnd {
            log_epoch: 1,
            end: 700,
            watermark_ms: 0,
            tail_matches: None,
        }),
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
        committed: Some(Committed {
            offset: 150,
            metadata: Some(CommitMetadata::new(1, Some(fill))),
        }),
        ledger: ledger(1, 150),
        begun: Some(Begun {
            start: 150,
            intent: intent(200),
        }),
        ..LOG
    };
    assert_eq!(decide(&facts).recovery, Some(Recovery::Repeat(intent(200))));
}
