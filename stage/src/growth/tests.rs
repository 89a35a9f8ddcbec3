//! Seeded: owners that see the table late, ask brokers that have yet to catch up, are replaced, and whose batches take
//! their time, while partitions are added to a topic of which something was complete. Completeness never goes back, and
//! whatever a partition reads is later than what was claimed before it began.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::completeness::complete_through_ms;

const SCHEDULES: u64 = 3_000;
const STEPS: usize = 400;
const PARTITIONS_MAX: i32 = 7;

/// What the owner of a partition does.
enum Owner {
    /// It looks whether it may begin.
    Resolving {
        /// Number of partitions by the broker.
        partitions: Option<i32>,
        /// The table, read after that.
        seen: Option<Vec<PartitionProgress>>,
        /// The older partitions, once it counts itself.
        joined: Option<i32>,
    },
    /// It reads.
    Active {
        growth: Growth,
        stated_ms: i64,
        /// What it saw of the broker and of the table.
        seen: Option<(i32, Vec<PartitionProgress>)>,
        /// A batch in progress, and with what it states when it is stored.
        batch: Option<(Growth, i64)>,
    },
}

struct Topic {
    /// Number of partitions at the beginning.
    initial: i32,
    owners: Vec<Owner>,
    rows: Vec<PartitionProgress>,
    now_ms: i64,
    /// The latest claim.
    claimed_ms: Option<i64>,
    seed: u64,
}

fn resolving() -> Owner {
    Owner::Resolving {
        partitions: None,
        seen: None,
        joined: None,
    }
}

impl Topic {
    fn new(partitions: i32, seed: u64) -> Self {
        Self {
            initial: partitions,
            owners: (0..partitions).map(|_| resolving()).collect(),
            rows: Vec::new(),
            now_ms: 1_000,
            claimed_ms: None,
            seed,
        }
    }

    fn partitions(&self) -> i32 {
        self.owners.len() as i32
    }

    /// The number of partitions by a broker, which now and then has yet to catch up.
    fn answer(&self, random: &mut StdRng) -> i32 {
        match random.random_bool(0.1) {
            true => random.random_range(self.initial..=self.partitions()),
            false => self.partitions(),
        }
    }

    fn step(&mut self, random: &mut StdRng, accidents: bool) {
        self.now_ms += random.random_range(0..3);
        let may_grow = self.claimed_ms.is_some() && self.partitions() < PARTITIONS_MAX;
        if accidents && may_grow && random.random_bool(0.02) {
            let added = random.random_range(1..=PARTITIONS_MAX - self.partitions());
            self.owners.extend((0..added).map(|_| resolving()));
        }
        let partition = random.random_range(0..self.partitions());
        let place = partition as usize;
        let owner = std::mem::replace(&mut self.owners[place], resolving());
        self.owners[place] = match owner {
            _ if accidents && random.random_bool(0.01) => resolving(),
            Owner::Resolving {
                partitions: Some(partitions),
                seen: Some(seen),
                joined,
            } => self.resolve(partition, partitions, &seen, joined),
            Owner::Resolving { partitions, joined, .. } => Owner::Resolving {
                partitions: partitions.or(Some(self.answer(random))),
                seen: partitions.map(|_| self.rows.clone()),
                joined,
            },
            Owner::Active {
                growth,
                stated_ms,
                seen,
                batch,
            } => self.act(partition, growth, stated_ms, seen, batch, random),
        };
        self.claim();
    }

    fn resolve(&mut self, partition: i32, partitions: i32, seen: &[PartitionProgress], joined: Option<i32>) -> Owner {
        if joined.is_none() {
            match Joining::of(partition, seen) {
                Joining::Counts => {}
                Joining::Waits { counted, .. } => {
                    if !is_announced(partition, seen) {
                        self.state(partition, counted, 0);
                    }
                    return resolving();
                }
                Joining::Joins { counted, counts } => {
                    self.state(partition, counts, stated_by(counted, seen));
                    return Owner::Resolving {
                        partitions: None,
                        seen: None,
                        joined: Some(counted),
                    };
                }
            }
        }
        let own_ms = row(&self.rows, partition).map_or(0, |row| row.watermark_ms);
        let stated_ms = joined.map_or(0, |counted| stated_by(counted, seen)).max(own_ms);
        assert!(
            Some(stated_ms) >= self.claimed_ms,
            "seed {}: partition {partition} begins with {stated_ms}, and {:?} was claimed",
            self.seed,
            self.claimed_ms
        );
        let growth = match joined {
            Some(_) => Growth::at_join(partition, 0, partitions, seen),
            None => Growth::at_start(partition, 0, partitions, seen),
        };
        if joined.is_some() && growth.counted > partition + 1 {
            self.state(partition, growth.counted, stated_ms);
        }
        Owner::Active {
            growth,
            stated_ms,
            seen: None,
            batch: None,
        }
    }

    fn act(
        &mut self,
        partition: i32,
        mut growth: Growth,
        mut stated_ms: i64,
        seen: Option<(i32, Vec<PartitionProgress>)>,
        batch: Option<(Growth, i64)>,
        random: &mut StdRng,
    ) -> Owner {
        let watermark = |growth: Growth, stated_ms: i64, reached_ms: i64| match growth.is_whole {
            true => reached_ms.max(stated_ms),
            false => stated_ms,
        };
        let reached_ms = random.random_range(1..=self.now_ms);
        let (seen, batch) = match (seen, batch) {
            (None, batch) if random.random_bool(0.3) => (Some((self.answer(random), self.rows.clone())), batch),
            (Some((partitions, rows)), batch) if random.random_bool(0.3) => {
                growth = Growth::of(growth.counted, partitions, &rows);
                (None, batch)
            }
            (seen, Some((begun, before_ms))) => {
                stated_ms = stated_ms.max(watermark(begun, before_ms, reached_ms));
                self.state(partition, begun.counted, stated_ms);
                (seen, None)
            }
            (seen, None) if random.random_bool(0.5) => (seen, Some((growth, stated_ms))),
            (seen, None) => {
                stated_ms = watermark(growth, stated_ms, reached_ms);
                self.state(partition, growth.counted, stated_ms);
                (seen, None)
            }
        };
        Owner::Active {
            growth,
            stated_ms,
            seen,
            batch,
        }
    }

    /// Writes a row of progress: the table keeps the largest of each column.
    fn state(&mut self, partition: i32, counted: i32, watermark_ms: i64) {
        if row(&self.rows, partition).is_none() {
            self.rows.push(PartitionProgress {
                kafka_partition: partition,
                ..PartitionProgress::default()
            });
        }
        let row = self.rows.iter_mut().find(|row| row.kafka_partition == partition);
        let row = row.expect("it was just written");
        row.partition_count = row.partition_count.max(counted);
        row.watermark_ms = row.watermark_ms.max(watermark_ms);
    }

    fn claim(&mut self) {
        let claim_ms = complete_through_ms(&self.rows);
        let seed = self.seed;
        assert!(
            claim_ms >= self.claimed_ms,
            "seed {seed}: {claim_ms:?} after {:?}",
            self.claimed_ms
        );
        for (partition, owner) in self.owners.iter().enumerate() {
            if let Owner::Active { stated_ms, .. } = owner {
                assert!(
                    claim_ms <= Some(*stated_ms),
                    "seed {seed}: {claim_ms:?} is claimed, and partition {partition} stated {stated_ms}"
                );
            }
        }
        self.claimed_ms = claim_ms;
    }
}

#[test]
fn completeness_never_goes_back_while_partitions_are_added() {
    let first: u64 = std::env::var("HOROLOG_SEED").map_or(0, |seed| seed.parse().expect("HOROLOG_SEED is a number"));
    println!("seeds {first} to {} (HOROLOG_SEED sets the first)", first + SCHEDULES);
    let mut grown = 0;
    for seed in first..first + SCHEDULES {
        let random = &mut StdRng::seed_from_u64(seed);
        let mut topic = Topic::new(random.random_range(1..4), seed);
        for _ in 0..STEPS {
            topic.step(random, true);
        }
        // Without further accidents, each one begins, counts all, and the claim goes on.
        let claimed_ms = topic.claimed_ms;
        topic.now_ms += 1_000;
        let all = topic.partitions();
        for _ in 0..400 * all {
            topic.step(random, false);
        }
        let is_whole = |row: &PartitionProgress| row.partition_count == topic.partitions();
        assert!(topic.rows.iter().all(is_whole), "seed {seed}: {:?}", topic.rows);
        assert!(topic.claimed_ms > claimed_ms, "seed {seed}: {:?}", topic.rows);
        grown += i32::from(all > 3);
    }
    assert!(grown > 0, "no topic grew");
}
