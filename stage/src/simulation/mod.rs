//! A seeded simulation of the protocol: the real [`crate::partition`] and the real [`crate::plan`] against a model of
//! Kafka's offset commit and of ClickHouse's tokens.
//!
//! Between any two steps there may be crashes, lost answers, late requests of dead writers (rows and ledger rows),
//! commits that expire, are reset or are overwritten by stale ones, rebuilds that are registered, also while the stage
//! is down, records that retention deletes unread or before they are stored, and tables restored from a backup; each life
//! of the member has its own limits, and some have a clock that is hours ahead until it is set right. One half of the
//! schedules is for a stage whose rows know their records; the other for one whose rows do not, so that nothing can be
//! repaired, and whose log is kept for long enough.
//!
//! Nothing that a clock which was ahead froze is ever stored, and no batch freezes less than what was stated before it
//! was begun. Afterwards each record is stored once, or was reported as lost; the ledger covers the log without a hole,
//! no token was used for two contents, epochs only rise along the log, and no rebuild hides what it did not know of.

mod life;
mod world;

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::life::{DeadWriter, Life};
use self::world::World;
use crate::partition::Batches;

const SCHEDULES: u64 = 2_000;
const STEPS: usize = 120;

fn run(seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let mut world = World::new(seed.is_multiple_of(2));
    if random.random_bool(0.2) {
        // The log exists before the stages do, and an operator says where they are to begin in it.
        for _ in 0..random.random_range(1..20) {
            world.append(random);
        }
        world.reset(random.random_range(0..=world.log_end()));
    }
    let mut dead_writers: Vec<DeadWriter> = Vec::new();
    let mut life = Life::begin(&mut world, &mut dead_writers, random);
    for _ in 0..STEPS {
        world.now_ms += 1;
        match random.random_range(0..100) {
            _ if random.random_bool(0.02) => world.write_epoch += 2,
            // An operator stops the stages, resets the group's offsets, and starts them again.
            _ if random.random_bool(0.01) => {
                let offset = match (&world.committed, world.ledger.is_empty()) {
                    (Some((offset, _)), false) => *offset,
                    _ => 0, // once the first batch is in progress it is too late to choose another start
                };
                if let Some(job) = life.job.take() {
                    dead_writers.push(DeadWriter::of(&mut world, &job, random));
                }
                world.reset(random.random_range(0..=offset));
                life = begin_without_intent(&mut world, &mut dead_writers, random);
            }
            // An operator stops the stages, restores the tables, and starts them again.
            _ if random.random_bool(0.005) => {
                let least = usize::from(world.log_start > 0).min(world.ledger.len());
                world.restore(random.random_range(least..=world.ledger.len()));
                dead_writers.clear();
                life = Life::begin(&mut world, &mut dead_writers, random);
            }
            // The stage is down for longer than a lease, and a rebuild is made meanwhile. Of what had an intent, a batch
            // may have been begun.
            _ if !world.by_offset && random.random_bool(0.01) => {
                let begun = life.job.take().filter(|_| random.random_bool(0.5));
                if let Some(job) = begun {
                    dead_writers.push(DeadWriter::of(&mut world, &job, random));
                }
                for writer in dead_writers.drain(..) {
                    if random.random_bool(0.5) {
                        writer.land(&mut world);
                    }
                }
                world.rebuild();
                life = Life::begin(&mut world, &mut dead_writers, random);
            }
            _ if world.by_offset && !world.ledger.is_empty() && random.random_bool(0.01) => world.retain(random),
            _ if life.is_ahead() && random.random_bool(0.1) => {
                life.set_clock();
                if random.random_bool(0.5) {
                    life.commit(&mut world, random);
                    life.deliver(&mut world, random);
                }
                if let Some(job) = life.job.take() {
                    dead_writers.push(DeadWriter::of(&mut world, &job, random));
                }
                life = Life::begin(&mut world, &mut dead_writers, random);
            }
            _ if life.is_out_of_range(&world) && !life.finishes(random) => {
                life = Life::begin(&mut world, &mut dead_writers, random);
            }
            0..30 => world.append(random),
            30..60 => life.fetch(&world),
            60..63 => life.close_if_due(),
            63..65 => life.state(&mut world, random),
            65..80 => life.commit(&mut world, random),
            80..92 => life.deliver(&mut world, random),
            92..97 => {
                if let Some(job) = life.job.take() {
                    dead_writers.push(DeadWriter::of(&mut world, &job, random));
                }
                life = match random.random_bool(0.1) {
                    true => {
                        world.commit_stale(random);
                        begin_without_intent(&mut world, &mut dead_writers, random)
                    }
                    false => Life::begin(&mut world, &mut dead_writers, random),
                };
            }
            97..99 => {
                for writer in dead_writers.drain(..) {
                    writer.land(&mut world);
                }
            }
            // A commit expires only long after its last batch was done.
            _ if life.job.is_none() && life.partition.wanted_commit(Batches::Begin, world.now_ms).is_none() => {
                let pending = world
                    .committed
                    .as_ref()
                    .is_some_and(|(_, metadata)| metadata.contains("intent"));
                if !pending {
                    world.committed = None;
                }
            }
            _ => (),
        }
    }
    finish(&mut world, &mut life, random);
    check(&world, seed);
}

/// Begins after the intent of dead writers' batches was overwritten. If no row shows them, nobody can know of those that
/// are not repeated: then their leases are assumed to be over. Whose clock is ahead would repeat what it later finds to
/// be nothing.
fn begin_without_intent(world: &mut World, dead_writers: &mut Vec<DeadWriter>, random: &mut StdRng) -> Life {
    world.is_calm = true;
    let life = Life::begin(world, dead_writers, random);
    world.is_calm = false;
    dead_writers.retain(|writer| Some(writer.at_ms) == life.repeats_ms);
    life
}

/// Without further accidents, everything that was produced gets stored.
fn finish(world: &mut World, life: &mut Life, random: &mut StdRng) {
    world.append(random); // a record behind a recovered range, whose last records may be holes
    world.is_calm = true;
    if life.is_ahead() {
        *life = Life::begin(world, &mut Vec::new(), random);
    }
    for _ in 0..10_000 {
        if life.is_out_of_range(world) && !life.finishes(random) {
            *life = Life::begin(world, &mut Vec::new(), random);
        }
        life.fetch(world);
        life.close_if_due();
        life.commit(world, random);
        life.deliver(world, random);
    }
}

fn check(world: &World, seed: u64) {
    let begin = world.begin.unwrap_or(0);
    for offset in world.produced.iter().filter(|offset| **offset >= begin) {
        let is_told = world.lost.iter().any(|gap| (gap.start..gap.end).contains(offset));
        match world.rows.get(offset) {
            None => assert!(is_told, "seed {seed}: offset {offset} is lost and nobody was told"),
            Some(copies) => assert_eq!(*copies, 1, "seed {seed}: copies of offset {offset}"),
        }
    }
    let produced: BTreeSet<&i64> = world.produced.iter().collect();
    assert!(
        world.rows.keys().all(|offset| produced.contains(offset)),
        "seed {seed}: rows that nobody produced"
    );
    let mut ledger = world.ledger.clone();
    ledger.sort_unstable();
    ledger.dedup();
    let mut end = begin;
    for (start, next) in ledger {
        assert_eq!(start, end, "seed {seed}: the ledger has a hole or an overlap");
        end = next;
    }
    assert_eq!(
        Some(end),
        world.produced.last().map(|last| last + 1),
        "seed {seed}: the ledger ends early"
    );
    assert!(
        world.epochs.values().is_sorted(),
        "seed {seed}: an epoch fell: {:?}",
        world.epochs
    );
    for (end, write_epoch) in &world.rebuilt {
        assert!(
            world.epochs.range(end..).all(|(_, of_batch)| of_batch >= write_epoch),
            "seed {seed}: a rebuild hides what was stored behind {end} before epoch {write_epoch}: {:?}",
            world.epochs
        );
    }
}

#[test]
fn every_record_is_stored_once_whatever_happens_between_two_steps() {
    let first = std::env::var("HOROLOG_SEED").ok().and_then(|seed| seed.parse().ok());
    println!(
        "seeds {} to {} (HOROLOG_SEED sets the first)",
        first.unwrap_or(0),
        first.unwrap_or(0) + SCHEDULES
    );
    for seed in first.unwrap_or(0)..first.unwrap_or(0) + SCHEDULES {
        run(seed);
    }
}
