//! The limit on keys: beyond it, the smaller keys of a tenant's hour are added up under one overflow key, and counted.
//!
//! In: the aggregates of a batch. Out: the same with a limited number of keys per tenant and hour, and what was folded.
//! No record is lost: the overflow key has the counts, sums and distributions of the folded keys. A pure function of
//! the aggregates: the keys with the most records stay, among equals those with the smallest hash, so that batch after
//! batch, and hour after hour, keeps the same ones. A label with exploding cardinality makes keys of one record each; the
//! series that people look at have more.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use horolog_schemas::MetricType;

use crate::histogram::Bucket;
use crate::hours::Hours;
use crate::key::{Key, type_number};
use crate::summary::Summary;

/// Name of the metric under which a tenant's overflow of an hour is added up; its other columns are empty.
pub const OVERFLOW_METRIC: &str = "horolog_overflow";
/// Its type. The folded keys may be of any type.
const OVERFLOW_TYPE: u8 = type_number(MetricType::Gauge);

/// What was folded, by tenant and hour.
pub type Overflow = BTreeMap<(String, u32), FoldedKeys>;

/// Keys that were folded into one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoldedKeys {
    /// How many.
    pub keys: u64,
    /// Their records.
    pub records: u64,
}

/// Folds the keys beyond `keys_max` of a tenant's hour.
pub fn limit_keys(hours: Hours, keys_max: usize) -> (Hours, Overflow) {
    if hours.len() <= keys_max {
        return (hours, Overflow::new()); // no tenant can have more
    }
    let mut by_tenant: BTreeMap<(String, u32), Vec<usize>> = BTreeMap::new();
    for (position, key) in hours.keys.iter().enumerate() {
        if let Some(key) = Key::decode(key) {
            by_tenant
                .entry((key.tenant_id.into_owned(), key.hour))
                .or_default()
                .push(position);
        }
    }
    let mut folded = vec![false; hours.len()];
    let mut overflow = Overflow::new();
    let mut added: BTreeMap<Vec<u8>, Sum> = BTreeMap::new();
    for (of, mut positions) in by_tenant {
        if positions.len() <= keys_max {
            continue;
        }
        positions.sort_by_cached_key(|&position| rank(&hours, position));
        let mut beyond = positions.split_off(keys_max);
        beyond.sort_unstable(); // sums add up in the order of the keys
        let sum = added.entry(overflow_key(&of.0, of.1)).or_default();
        let count = overflow.entry(of).or_default();
        for position in beyond {
            folded[position] = true;
            count.keys += 1;
            count.records += hours.summaries[position].count;
            sum.add(&hours, position);
        }
    }
    (merged(&hours, &folded, added), overflow)
}

/// Most records first, then by the hash of the key without its hour.
fn rank(hours: &Hours, position: usize) -> (std::cmp::Reverse<u64>, u64) {
    let mut bytes = Vec::new();
    if let Some(key) = Key::decode(hours.keys.get(position)) {
        Key { hour: 0, ..key }.encode(&mut bytes);
    }
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(&bytes);
    (std::cmp::Reverse(hours.summaries[position].count), hasher.finish())
}

fn overflow_key(tenant_id: &str, hour: u32) -> Vec<u8> {
    let key = Key {
        tenant_id: tenant_id.into(),
        metric_name: OVERFLOW_METRIC.into(),
        hour,
        service_id: "".into(),
        plugin_id: "".into(),
        environment: "".into(),
        team_id: "".into(),
        metric_type: OVERFLOW_TYPE,
        unit: "".into(),
    };
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

/// The overflow key under construction.
#[derive(Default)]
struct Sum {
    summary: Option<Summary>,
    buckets: BTreeMap<Bucket, u64>,
}

impl Sum {
    fn add(&mut self, hours: &Hours, position: usize) {
        let summary = &hours.summaries[position];
        match &mut self.summary {
            Some(sum) => sum.fold(summary),
            None => self.summary = Some(*summary),
        }
        for (bucket, count) in hours.buckets(position) {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }
}

/// The keys that stay and the overflow keys, sorted. An existing key with the overflow key's name is added to it.
fn merged(hours: &Hours, folded: &[bool], mut added: BTreeMap<Vec<u8>, Sum>) -> Hours {
    for (position, key) in hours.keys.iter().enumerate() {
        if let (false, Some(sum)) = (folded[position], added.get_mut(key)) {
            sum.add(hours, position);
        }
    }
    let mut merged = Hours::default();
    merged.tally.clone_from(&hours.tally);
    let mut overflows = added.iter().peekable();
    for (position, key) in hours.keys.iter().enumerate() {
        while let Some((overflow, sum)) = overflows.next_if(|(overflow, _)| &overflow[..] < key) {
            push(&mut merged, overflow, sum);
        }
        if !folded[position] && !added.contains_key(key) {
            merged.push(key, hours.summaries[position], hours.buckets(position).iter().copied());
        }
    }
    for (overflow, sum) in overflows {
        push(&mut merged, overflow, sum);
    }
    merged
}

fn push(merged: &mut Hours, key: &[u8], sum: &Sum) {
    if let Some(summary) = sum.summary {
        merged.push(
            key,
            summary,
            sum.buckets.iter().map(|(bucket, count)| (*bucket, *count)),
        );
    }
}
