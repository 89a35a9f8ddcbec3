//! Pre-aggregation: the samples of one chunk, summed up by key, divided into a part for each worker.
//!
//! In: samples in offset order. Out: one part per worker, with the keys that hash to it. Worker 0 gets a part of every
//! chunk, even without keys, since that part carries the tally. A pure function of the samples and the number of
//! workers, but for which worker a key hashes to. Keeps its tables between chunks, but no value.

use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};

use crate::histogram::Bucket;
use crate::key::{Key, Keys, hour_of};
use crate::late::{LateHours, LateRecords, add_hours};
use crate::samples::Samples;
use crate::summary::{Observation, Summary};

/// Hashes keys: seeded by each process, because with a seed that is known anybody who writes samples can give all keys of
/// a batch one hash, so that it takes an hour. One for all workers, which compare hashes. No result depends on it.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// What one chunk adds to the keys of one worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Partial {
    /// Number of the chunk in its batch.
    pub chunk: u32,
    /// The worker whose keys these are.
    pub worker: u64,
    /// The keys, each once.
    pub keys: Keys,
    /// By key: its hash.
    pub hashes: Vec<u64>,
    /// By key: its values.
    pub summaries: Vec<Summary>,
    /// The distributions, sorted by key and then by bucket.
    pub buckets: Vec<BucketCount>,
    /// Counts of the chunk as a whole; only in the part for worker 0.
    pub tally: Tally,
}

impl Partial {
    /// The single part of a chunk that cannot be aggregated.
    pub fn failed(chunk: u32, failure: String) -> Self {
        Self {
            chunk,
            tally: Tally {
                failure: Some(failure),
                ..Tally::default()
            },
            ..Self::default()
        }
    }
}

/// How many values of a key fell into a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketCount {
    /// Position of the key in its part.
    pub key: u32,
    /// The bucket.
    pub bucket: Bucket,
    /// Values in it.
    pub count: u32,
}

/// Counts that are not by key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records that were rejected.
    pub rejected: u64,
    /// Largest min(event time, Kafka timestamp) of the records that may move the watermark, ms since 1970.
    pub high_time_ms: Option<i64>,
    /// The other ones: their clock is ahead.
    pub ahead: Option<Ahead>,
    /// Records that arrived after their hour was complete.
    pub late: LateHours,
    /// Why the batch as a whole cannot be aggregated: the reason of its first failed chunk.
    pub failure: Option<String>,
}

impl Tally {
    /// Adds the tally of a later chunk.
    pub fn add(&mut self, later: &Self) {
        self.rejected += later.rejected;
        self.high_time_ms = self.high_time_ms.max(later.high_time_ms);
        self.ahead = match (self.ahead, later.ahead) {
            (Some(mut known), Some(later)) => {
                known.add(later);
                Some(known)
            }
            (known, later) => known.or(later),
        };
        add_hours(&mut self.late, &later.late);
        if self.failure.is_none() {
            self.failure.clone_from(&later.failure);
        }
    }
}

/// Records whose clock was ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// How many.
    pub records: u64,
    /// Smallest offset.
    pub first_offset: i64,
    /// Largest offset.
    pub last_offset: i64,
    /// The largest of their times, event time or Kafka timestamp, ms since 1970.
    pub latest_ms: i64,
}

impl Ahead {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.first_offset = self.first_offset.min(other.first_offset);
        self.last_offset = self.last_offset.max(other.last_offset);
        self.latest_ms = self.latest_ms.max(other.latest_ms);
    }
}

/// A late sample, whose key is at `key`.
#[derive(Debug)]
struct Late {
    key: u32,
    offset: i64,
    lateness_s: u32,
}

/// Pre-aggregates chunks for a number of workers.
#[derive(Debug)]
pub struct Preaggregation {
    workers: u64,
    /// Positions in `keys`, by hash.
    table: HashTable<u32>,
    keys: Keys,
    hashes: Vec<u64>,
    summaries: Vec<Summary>,
    /// By row: the position of its key and, in the lower bits, the ordinal of its bucket. Sorted, they are the
    /// distributions.
    entries: Vec<u64>,
    late: Vec<Late>,
    /// The key of the current row.
    encoded: Vec<u8>,
}

impl Preaggregation {
    /// For this number of workers; at least one.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: workers.max(1) as u64,
            table: HashTable::new(),
            keys: Keys::default(),
            hashes: Vec::new(),
            summaries: Vec::new(),
            entries: Vec::new(),
            late: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// The parts of chunk number `chunk`.
    pub fn run(&mut self, chunk: u32, samples: &Samples) -> Vec<Partial> {
        self.table.clear();
        self.keys.clear();
        self.hashes.clear();
        self.summaries.clear();
        self.entries.clear();
        self.late.clear();
        let mut tally = Tally {
            rejected: samples.rejected,
            ..Tally::default()
        };
        for row in 0..samples.len() {
            let observation = Observation {
                time_us: samples.time.value(row),
                offset: samples.offset[row],
                // Adding zero turns negative zero into positive zero, so that extremes do not depend on the order.
                value: samples.value.value(row) + 0.0,
            };
            let key = self.intern(samples, row, observation);
            self.entries
                .push(u64::from(key) << 32 | u64::from(Bucket::of(observation.value).to_ordinal()));
            let (time_ms, timestamp_ms) = (observation.time_us.div_euclid(1_000), samples.timestamp_ms[row]);
            if samples.frame.testifies(time_ms, timestamp_ms) {
                tally.high_time_ms = tally.high_time_ms.max(Some(time_ms.min(timestamp_ms)));
            } else {
                let ahead = Ahead {
                    records: 1,
                    first_offset: observation.offset,
                    last_offset: observation.offset,
                    latest_ms: time_ms.max(timestamp_ms),
                };
                tally.ahead.get_or_insert(Ahead { records: 0, ..ahead }).add(ahead);
            }
            if samples.frame.is_late(hour_of(observation.time_us)) {
                self.late.push(Late {
                    key,
                    offset: observation.offset,
                    lateness_s: samples.frame.lateness_s(time_ms),
                });
            }
        }
        self.entries.sort_unstable();
        tally.late = self.late_hours();
        self.cut(chunk, tally)
    }

    /// The late samples by tenant and hour; decodes each key once.
    fn late_hours(&mut self) -> LateHours {
        let mut hours = LateHours::new();
        self.late.sort_unstable_by_key(|late| late.key);
        for of_key in self.late.chunk_by(|a, b| a.key == b.key) {
            let Some(key) = of_key
                .first()
                .and_then(|late| Key::decode(self.keys.get(late.key as usize)))
            else {
                continue;
            };
            let mut records = LateRecords::of(of_key[0].offset, of_key[0].lateness_s);
            for late in &of_key[1..] {
                records.add_one(late.offset, late.lateness_s);
            }
            add_hours(
                &mut hours,
                &LateHours::from([((key.tenant_id.into_owned(), key.hour), records)]),
            );
        }
        hours
    }

    /// Folds an observation into the summary of its key; returns the key's position.
    #[inline]
    fn intern(&mut self, samples: &Samples, row: usize, observation: Observation) -> u32 {
        let key = Key {
            tenant_id: samples.tenant_id.value(row).into(),
            metric_name: samples.metric_name.value(row).into(),
            hour: hour_of(observation.time_us),
            service_id: samples.service_id.value(row).into(),
            plugin_id: samples.plugin_id.value(row).into(),
            environment: samples.environment.value(row).into(),
            team_id: samples.team_id.value(row).into(),
            metric_type: samples.metric_type[row],
            unit: samples.unit.value(row).into(),
        };
        self.encoded.clear();
        key.encode(&mut self.encoded);
        let mut hasher = HASHER.build_hasher();
        hasher.write(&self.encoded);
        let hash = hasher.finish();
        let same = |position: &u32| self.keys.get(*position as usize) == self.encoded;
        match self.table.entry(hash, same, |position| self.hashes[*position as usize]) {
            Entry::Occupied(found) => {
                let position = *found.get();
                self.summaries[position as usize].fold(&Summary::of(observation));
                position
            }
            Entry::Vacant(free) => {
                let position = self.summaries.len() as u32;
                free.insert(position);
                self.keys.push(&self.encoded);
                self.hashes.push(hash);
                self.summaries.push(Summary::of(observation));
                position
            }
        }
    }

    /// Distributes the keys over the workers.
    fn cut(&mut self, chunk: u32, tally: Tally) -> Vec<Partial> {
        let part = |worker| Partial {
            chunk,
            worker,
            ..Partial::default()
        };
        let mut parts: Vec<Partial> = (0..self.workers).map(part).collect();
        parts[0].tally = tally;
        let mut entries = self.entries.iter().copied().peekable();
        for (position, (hash, summary)) in self.hashes.iter().zip(&self.summaries).enumerate() {
            // Neither the lowest nor the highest bits: the worker's hash tables use those.
            let part = &mut parts[((hash >> 40) % self.workers) as usize];
            let key = part.summaries.len() as u32;
            part.keys.push(self.keys.get(position));
            part.hashes.push(*hash);
            part.summaries.push(*summary);
            while let Some(entry) = entries.next_if(|entry| (entry >> 32) as usize == position) {
                let mut count = 1;
                while entries.next_if_eq(&entry).is_some() {
                    count += 1;
                }
                part.buckets.push(BucketCount {
                    key,
                    bucket: Bucket::from_ordinal(entry as u32),
                    count,
                });
            }
        }
        parts.retain(|part| part.worker == 0 || !part.keys.is_empty());
        parts
    }
}
