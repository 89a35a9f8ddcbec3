//! The rows of the table in which the log is another one, or another stage has entered a later life.

use super::*;

/// The log was recreated.
fn second_life(start: i64) -> Plan {
    Plan {
        log_epoch: 2,
        beginning: Some(Beginning::NewLife),
        ..plain(start)
    }
}

fn life(log_epoch: u32, start: i64) -> Option<Life> {
    Some(Life { log_epoch, start })
}

#[test]
fn a_shorter_log_is_a_new_life() {
    let facts = Facts {
        log_end: 20,
        ..stored(100)
    };
    assert_eq!(decide(&facts), second_life(0));
}

#[test]
fn an_answer_that_is_only_too_short_is_told_from_a_log_with_other_records() {
    let short = Facts {
        committed: committed(1_100, 1, None),
        ledger: ledger_with(None, 1, 1_100),
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
        log_end: 70,
        surviving_end: Some(60),
        ..stored(100)
    };
    assert_eq!(decide(&facts), second_life(60));
}

#[test]
fn a_log_that_was_cut_inside_the_pending_batch_is_not_taken_for_whole() {
    let facts = Facts {
        log_end: 120,
        surviving_end: Some(100),
        ..pending(100, 150)
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
        begun: begun(100, 150),
        log_end: 120,
        surviving_end: Some(100),
        ..stored(100)
    };
    assert_eq!(decide(&facts).beginning, Some(Beginning::NewLife));
}

#[test]
fn a_pending_batch_whose_records_are_others_now_is_not_repeated() {
    let begun = Facts {
        begun: begun(100, 150),
        ..stored(100)
    };
    for facts in [pending(100, 150), begun] {
        let facts = Facts {
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
        ledger: ledger_with(Some(false), 1, 100),
        surviving_end: Some(60),
        ..stored(100)
    };
    assert_eq!(decide(&facts), second_life(60));
}

#[test]
fn an_operators_offset_beyond_the_log_opens_no_new_life() {
    let facts = Facts {
        committed: chosen_by_operator(5_000),
        ledger: ledger(1, 150),
        ..LOG
    };
    assert_eq!(decide(&facts), plain(150));
}

#[test]
fn a_longer_log_with_another_tail_is_a_new_life() {
    let ledger = ledger_with(Some(false), 3, 100);
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
    let ledger = ledger_with(None, 2, 0);
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
            log_end: 50,
            others,
            ..stored(100)
        });
        assert_eq!((plan.log_epoch, plan.beginning), (log_epoch, Some(Beginning::NewLife)));
    }
}

#[test]
fn a_backup_of_an_earlier_life_is_filled_up_from_its_end() {
    let facts = |tail_matches| Facts {
        committed: committed(500, 2, None),
        ledger: ledger_with(tail_matches, 1, 150),
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
