use std::time::{Duration, Instant};

use horolog_schemas::RawRecord;

use super::{Batches, Completeness, Limits, Partition};
use crate::delivery::Delivered;
use crate::growth::Growth;
use crate::plan::{Plan, Recovery};
use crate::range::PartitionId;
use crate::resolve::Resolved;

const LATENESS_MS: i64 = 120_000;
const NOW_MS: i64 = 1_800_000_000_000;
const LIMITS: Limits = Limits {
    rows_max: 1,
    bytes_max: usize::MAX,
    age_max: Duration::ZERO,
    age_min: Duration::ZERO,
};

/// Continues at offset 10, and is complete through an hour ago.
fn partition() -> Partition {
    partition_stated(NOW_MS - 3_600_000)
}

fn partition_stated(stated_ms: i64) -> Partition {
    partition_of(stated_ms, stated_ms)
}

fn partition_of(stated_ms: i64, reached_ms: i64) -> Partition {
    partition_that_recovers(None, stated_ms, reached_ms)
}

fn partition_that_recovers(recovery: Option<Recovery>, stated_ms: i64, reached_ms: i64) -> Partition {
    let plan = Plan {
        log_epoch: 1,
        beginning: None,
        start: 10,
        fetch_from: 10,
        gap: None,
        left_behind: None,
        recovery,
    };
    let resolved = Resolved {
        plan,
        stated_ms,
        reached_ms,
        write_epoch: 0,
        growth: Growth {
            counted: 1,
            is_whole: true,
        },
        clocks_apart_ms: 120_000,
        asked_at: Instant::now(),
    };
    let completeness = Completeness {
        allowed_lateness_ms: LATENESS_MS,
        idle_after: Duration::ZERO,
    };
    Partition::new(PartitionId::new("metrics", 0), &resolved, completeness)
}

/// What the next batch freezes.
fn frozen_ms(mut partition: Partition) -> i64 {
    partition.push(&record(10), &LIMITS, Instant::now());
    let wanted = partition.wanted_commit(Batches::Begin, NOW_MS).unwrap();
    wanted.metadata.intent.unwrap().watermark_ms
}

fn record(offset: i64) -> RawRecord<'static> {
    RawRecord {
        offset,
        timestamp_ms: NOW_MS,
        key: None,
        payload: None,
    }
}

#[test]
fn a_batch_never_freezes_a_watermark_that_was_made_by_a_clock_set_back_since() {
    let mut partition = partition();
    let ahead_ms = NOW_MS + 7_200_000;
    let progress = partition.at_log_end(10, ahead_ms, 0, Instant::now()).unwrap();
    assert_eq!(progress.watermark_ms, ahead_ms - LATENESS_MS);
    assert_eq!(frozen_ms(partition), NOW_MS - LATENESS_MS);
}

#[test]
fn a_batch_never_freezes_a_watermark_before_the_one_that_is_stated() {
    // With a smaller allowed lateness, before the restart.
    let stated_ms = NOW_MS - LATENESS_MS / 2;
    let mut partition = partition_stated(stated_ms);
    let again = partition.at_log_end(10, NOW_MS, 0, Instant::now()).unwrap();
    assert_eq!(again.watermark_ms, stated_ms, "who is idle says so all the same");
    assert_eq!(frozen_ms(partition), stated_ms);
    // By a clock that was a little ahead, and accepted.
    let mut partition = partition_stated(0);
    let progress = partition.at_log_end(10, NOW_MS + 30_000, 0, Instant::now()).unwrap();
    partition.stated(progress.watermark_ms);
    assert_eq!(frozen_ms(partition), NOW_MS + 30_000 - LATENESS_MS);
}

#[test]
fn a_batch_that_a_clock_froze_which_was_set_back_since_is_not_stored() {
    let mut partition = partition();
    partition.push(&record(10), &LIMITS, Instant::now());
    let ahead_ms = NOW_MS + 7_200_000;
    let wanted = partition.wanted_commit(Batches::Begin, ahead_ms).unwrap();
    let job = partition.accepted(&wanted, ahead_ms).unwrap();
    let renewal = partition.renewal(NOW_MS, 15_000).unwrap();
    assert!(partition.accepted(&renewal, NOW_MS).is_none());
    assert_eq!(job.lease.confirmed_ms(), ahead_ms, "no table accepts that");
}

#[test]
fn a_batch_that_waited_for_the_one_before_is_of_the_time_at_which_it_begins() {
    let mut partition = partition();
    for offset in [10, 11] {
        partition.push(&record(offset), &LIMITS, Instant::now());
    }
    let first = partition.wanted_commit(Batches::Begin, NOW_MS).unwrap();
    assert!(partition.accepted(&first, NOW_MS).is_some());
    partition.delivered(&Delivered {
        end: 11,
        reached_ms: NOW_MS - LATENESS_MS,
        stated_ms: NOW_MS - LATENESS_MS,
    });
    let mut begun_ms = |now_ms| {
        let wanted = partition.wanted_commit(Batches::Begin, now_ms).unwrap();
        wanted.metadata.intent.unwrap().at_ms
    };
    assert_eq!(begun_ms(NOW_MS + 60_000), NOW_MS + 60_000);
    assert_eq!(begun_ms(NOW_MS + 61_000), NOW_MS + 60_000, "committed again as it was");
}

#[test]
fn an_idle_partition_goes_on_with_a_clock_that_was_ahead_for_a_moment() {
    let mut partition = partition();
    assert!(
        partition
            .at_log_end(10, NOW_MS + 7_200_000, 0, Instant::now())
            .is_some()
    );
    // No table took that.
    let progress = partition.at_log_end(10, NOW_MS, 0, Instant::now()).unwrap();
    assert_eq!(progress.watermark_ms, NOW_MS - LATENESS_MS);
}

#[test]
fn an_idle_partition_is_not_complete_while_its_log_goes_on() {
    let mut partition = partition();
    assert!(partition.at_log_end(11, NOW_MS, 0, Instant::now()).is_none());
    assert!(partition.at_log_end(10, NOW_MS, 0, Instant::now()).is_some());
}

#[test]
fn a_range_to_fill_up_that_ends_with_a_marker_is_closed_when_the_log_has_no_more() {
    let mut partition = partition_that_recovers(Some(Recovery::Fill { end: 12 }), 0, 0);
    let limits = Limits { rows_max: 9, ..LIMITS };
    partition.push(&record(10), &limits, Instant::now());
    partition.has_all(11);
    assert!(
        partition.wanted_commit(Batches::Begin, NOW_MS).is_none(),
        "more may come of it"
    );
    partition.has_all(12);
    let wanted = partition.wanted_commit(Batches::Begin, NOW_MS).unwrap();
    assert_eq!(wanted.metadata.intent.unwrap().end, 12);
}

#[test]
fn a_partition_states_nothing_under_an_epoch_that_came_since_its_log_was_asked() {
    let mut partition = partition();
    partition.set_write_epoch(3);
    assert!(partition.at_log_end(10, NOW_MS, 2, Instant::now()).is_none());
    let progress = partition.at_log_end(10, NOW_MS, 3, Instant::now()).unwrap();
    assert_eq!(progress.write_epoch, 3);
}

#[test]
fn a_lease_that_is_renewed_after_its_batch_was_stored_changes_nothing() {
    let mut partition = partition();
    partition.push(&record(10), &LIMITS, Instant::now());
    let wanted = partition.wanted_commit(Batches::Begin, NOW_MS).unwrap();
    assert!(partition.accepted(&wanted, NOW_MS).is_some());
    let renewal = partition.renewal(NOW_MS + 20_000, 10_000).unwrap();
    partition.delivered(&Delivered {
        end: 11,
        reached_ms: 0,
        stated_ms: 0,
    });
    assert!(partition.accepted(&renewal, NOW_MS + 20_000).is_none());
    let wanted = partition.wanted_commit(Batches::OnlyFinish, NOW_MS).unwrap();
    assert_eq!(wanted.offset, 11, "the batch is still to be committed");
}

#[test]
fn a_partition_that_finishes_stores_what_it_holds_and_takes_no_more() {
    let mut partition = partition();
    let limits = Limits { rows_max: 9, ..LIMITS };
    partition.push(&record(10), &limits, Instant::now());
    partition.suspend(Instant::now());
    partition.push(&record(11), &limits, Instant::now());
    assert!(
        partition.wanted_commit(Batches::Begin, NOW_MS).is_none(),
        "nothing is known of its log"
    );
    assert!(partition.finish());
    let wanted = partition.wanted_commit(Batches::Begin, NOW_MS).unwrap();
    assert_eq!(wanted.metadata.intent.unwrap().end, 11);
    let mut repeating = partition_that_recovers(Some(Recovery::Repeat(wanted.metadata.intent.unwrap())), 0, 0);
    assert!(!repeating.finish(), "it holds nothing yet");
}

#[test]
fn a_partition_is_silent_while_it_has_room_and_the_same_offset_is_next() {
    let mut partition = partition();
    let begun = Instant::now();
    let wait = Duration::from_secs(10);
    assert_eq!(partition.silent(true, begun), Duration::ZERO);
    assert_eq!(partition.silent(true, begun + wait), wait);
    partition.push(&record(10), &Limits { rows_max: 9, ..LIMITS }, begun);
    assert_eq!(partition.silent(true, begun + wait), Duration::ZERO, "something came");
    assert_eq!(partition.silent(true, begun + 2 * wait), wait);
    assert_eq!(
        partition.silent(false, begun + 3 * wait),
        Duration::ZERO,
        "it is not fetched"
    );
    assert_eq!(
        partition.silent(true, begun + 3 * wait),
        Duration::ZERO,
        "and counts anew"
    );
    assert_eq!(partition.silent(true, begun + 4 * wait), wait);
    partition.has_all(11);
    let after = partition.silent(true, begun + 5 * wait);
    assert_eq!(after, Duration::ZERO, "there was nothing to come");
    for offset in [11, 12] {
        partition.push(&record(offset), &LIMITS, begun);
    }
    assert!(partition.is_full());
    let all = [3, 9].map(|times| partition.silent(true, begun + times * wait));
    assert_eq!(all, [Duration::ZERO; 2], "it is held back");
}

#[test]
fn a_watermark_that_a_clock_which_was_ahead_froze_is_not_one_that_is_stated() {
    let ahead_ms = NOW_MS + 7_200_000;
    let stated_ms = NOW_MS - 3_600_000;
    assert_eq!(frozen_ms(partition_of(stated_ms, ahead_ms)), NOW_MS - LATENESS_MS);
    let mut idle = partition_of(stated_ms, ahead_ms);
    let progress = idle.at_log_end(10, NOW_MS, 0, Instant::now()).unwrap();
    assert_eq!(progress.watermark_ms, NOW_MS - LATENESS_MS);
}
