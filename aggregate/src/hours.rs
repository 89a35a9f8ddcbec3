//! The hourly aggregates of a whole batch, made from the partials of its chunks.
//!
//! In: the partials of one worker's keys, in any order. Out: each key once, sorted, with summary and distribution; then
//! the same for several workers, folded into one. Folds in chunk order, so that neither the number of workers nor their
//! timing changes a bit of the result.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};

use crate::histogram::{Bucket, add_up};
use crate::key::Keys;
use crate::partial::{Partial, Tally};
use crate::summary::Summary;

/// Aggregates by key, sorted by key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hours {
    /// The keys, each once.
    pub keys: Keys,
    /// By key: its values.
    pub summaries: Vec<Summary>,
    /// The distributions one after the other, each sorted by bucket.
    buckets: Vec<(Bucket, u64)>,
    /// By key: where its distribution ends.
    bucket_ends: Vec<usize>,
    /// Counts of the batch as a whole.
    pub tally: Tally,
}

impl Hours {
    /// How many keys.
    pub fn len(&self) -> usize {
        self.summaries.len()
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty()
    }

    /// The distribution of the key at a position, sorted by bucket.
    pub fn buckets(&self, position: usize) -> &[(Bucket, u64)] {
        let start = if position == 0 {
            0
        } else {
            self.bucket_ends[position - 1]
        };
        &self.buckets[start..self.bucket_ends[position]]
    }

    /// Adds a key behind the others.
    pub(crate) fn push(
        &mut self,
        key: &[u8],
        summary: Summary,
        sorted_buckets: impl IntoIterator<Item = (Bucket, u64)>,
    ) {
        debug_assert!(self.keys.iter().last().is_none_or(|last| last < key), "keys rise");
        self.keys.push(key);
        self.summaries.push(summary);
        add_up(sorted_buckets, &mut self.buckets);
        self.bucket_ends.push(self.buckets.len());
    }

    /// From the partials of one worker.
    pub fn combine(mut partials: Vec<Partial>) -> Self {
        partials.sort_unstable_by_key(|partial| partial.chunk);
        let unique = UniqueKeys::new(&partials);
        let mut counts = BucketCounts::new(&partials, &unique);
        let mut order: Vec<u32> = (0..unique.summaries.len() as u32).collect();
        order.sort_unstable_by(|a, b| unique.keys[*a as usize].cmp(unique.keys[*b as usize]));

        let mut hours = Self::default();
        for position in order {
            let position = position as usize;
            hours.push(
                unique.keys[position],
                unique.summaries[position],
                counts.sorted(position),
            );
        }
        for partial in &partials {
            hours.tally.add(&partial.tally);
        }
        hours
    }

    /// From several workers, or several batches, which may have keys in common. Sums add up in the order of the runs.
    pub fn fold(mut runs: Vec<Self>) -> Self {
        if runs.len() < 2 {
            return runs.pop().unwrap_or_default();
        }
        let positions = |run: usize| (0..runs[run].len()).map(move |position| (run, position));
        let key = |&(run, position): &(usize, usize)| runs[run].keys.get(position);
        let mut order: Vec<(usize, usize)> = (0..runs.len()).flat_map(positions).collect();
        // The stable sort detects the sorted runs and merges them.
        order.sort_by(|a, b| key(a).cmp(key(b)));

        let mut folded = Self::default();
        let mut buckets = Vec::new();
        for same in order.chunk_by(|a, b| key(a) == key(b)) {
            let (first, later) = (same[0], &same[1..]);
            let mut summary = runs[first.0].summaries[first.1];
            buckets.clear();
            buckets.extend_from_slice(runs[first.0].buckets(first.1));
            for (run, position) in later {
                summary.fold(&runs[*run].summaries[*position]);
                buckets.extend_from_slice(runs[*run].buckets(*position));
            }
            if !later.is_empty() {
                buckets.sort_unstable();
            }
            folded.push(key(&first), summary, buckets.iter().copied());
        }
        for run in &runs {
            folded.tally.add(&run.tally);
        }
        folded
    }
}

/// The keys of all partials, each once, in order of first appearance.
struct UniqueKeys<'a> {
    keys: Vec<&'a [u8]>,
    summaries: Vec<Summary>,
    /// By key of a partial, partials one after the other: its position here.
    positions: Vec<u32>,
}

impl<'a> UniqueKeys<'a> {
    fn new(partials: &'a [Partial]) -> Self {
        let mut unique = Self {
            keys: Vec::new(),
            summaries: Vec::new(),
            positions: Vec::new(),
        };
        let mut hashes: Vec<u64> = Vec::new();
        let mut table: HashTable<u32> = HashTable::new();
        for partial in partials {
            for ((key, hash), summary) in partial.keys.iter().zip(&partial.hashes).zip(&partial.summaries) {
                let same =
                    |position: &u32| hashes[*position as usize] == *hash && unique.keys[*position as usize] == key;
                let position = match table.entry(*hash, same, |position| hashes[*position as usize]) {
                    Entry::Occupied(found) => {
                        unique.summaries[*found.get() as usize].fold(summary);
                        *found.get()
                    }
                    Entry::Vacant(free) => {
                        let position = unique.keys.len() as u32;
                        free.insert(position);
                        unique.keys.push(key);
                        unique.summaries.push(*summary);
                        hashes.push(*hash);
                        position
                    }
                };
                unique.positions.push(position);
            }
        }
        unique
    }
}

/// The bucket counts of all partials, grouped by key in one allocation instead of one per key.
struct BucketCounts {
    counts: Vec<(Bucket, u64)>,
    /// By key: where its counts end.
    ends: Vec<usize>,
}

impl BucketCounts {
    fn new(partials: &[Partial], unique: &UniqueKeys<'_>) -> Self {
        let keys = unique.summaries.len();
        let mut ends = vec![0; keys];
        each_count(partials, unique, |position, _| ends[position] += 1);
        let mut total = 0;
        for end in &mut ends {
            // For now the start of the key's counts; placing each count moves it towards their end.
            total += std::mem::replace(end, total);
        }
        let mut counts = vec![(Bucket::of(0.0), 0); total];
        each_count(partials, unique, |position, count| {
            counts[ends[position]] = count;
            ends[position] += 1;
        });
        Self { counts, ends }
    }

    /// The counts of a key by bucket; a bucket may occur more than once.
    fn sorted(&mut self, position: usize) -> impl Iterator<Item = (Bucket, u64)> {
        let start = if position == 0 { 0 } else { self.ends[position - 1] };
        let counts = &mut self.counts[start..self.ends[position]];
        counts.sort_unstable();
        counts.iter().copied()
    }
}

fn each_count(partials: &[Partial], unique: &UniqueKeys<'_>, mut logic: impl FnMut(usize, (Bucket, u64))) {
    let mut first = 0;
    for partial in partials {
        for count in &partial.buckets {
            let position = unique.positions[first + count.key as usize] as usize;
            logic(position, (count.bucket, u64::from(count.count)));
        }
        first += partial.keys.len();
    }
}
