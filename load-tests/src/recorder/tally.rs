//! Which records were acknowledged: small enough to keep for a run of any length, exact enough to show a single lost
//! record.
//!
//! For each bucket of neighbouring offsets of a partition, it holds the number of records and the sum of a hash of
//! their offsets. The tables are queried for the same: counts and sums match only if the same offsets are there, each
//! once. The hash is ClickHouse's `intHash64`, so that the server computes the same sums.

use std::collections::BTreeMap;

use horolog_schemas::Kind;

use crate::sender::Acknowledged;

/// Offsets per bucket: to examine a difference, one bucket is read.
pub const BUCKET_OFFSETS: i64 = 65_536;

/// A range of offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// The kind, which decides the topic.
    pub kind: Kind,
    /// The partition.
    pub partition: i32,
    /// Offset divided by [`BUCKET_OFFSETS`].
    pub number: i64,
}

/// The totals of some records of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Number of records.
    pub records: u64,
    /// Wrapping sum of their offsets' hashes.
    pub hashes: u64,
}

/// The acknowledged records of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Valid records, which become rows.
    pub good: BTreeMap<Bucket, Totals>,
    /// Records that must be rejected.
    pub bad: BTreeMap<Bucket, Totals>,
}

impl Tally {
    /// Adds one.
    pub fn add(&mut self, record: &Acknowledged) {
        let bucket = Bucket {
            kind: record.stamp.kind,
            partition: record.partition,
            number: record.offset / BUCKET_OFFSETS,
        };
        let totals = if record.stamp.bad {
            &mut self.bad
        } else {
            &mut self.good
        };
        totals.entry(bucket).or_default().add(record.offset);
    }
}

impl Totals {
    /// Adds a record.
    pub fn add(&mut self, offset: i64) {
        self.records += 1;
        self.hashes = self.hashes.wrapping_add(offset_hash(offset));
    }
}

/// ClickHouse's `intHash64(kafka_offset)`: the finalizer of MurmurHash3 applied to the number XORed with a constant.
pub fn offset_hash(offset: i64) -> u64 {
    let mut hash = offset.cast_unsigned() ^ 0x4cf2_d2ba_ae6d_a887;
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values were computed by ClickHouse: `select intHash64(toInt64(123456789)), …`.
    #[test]
    fn the_hash_is_that_of_the_server() {
        assert_eq!(offset_hash(123_456_789), 16_268_010_412_262_273_259);
        assert_eq!(offset_hash(0), 4_761_183_170_873_013_810);
        assert_eq!(offset_hash(-5), 13_263_830_642_547_698_461);
        let sum = (0..1_000).fold(0u64, |sum, offset| sum.wrapping_add(offset_hash(offset)));
        assert_eq!(sum, 14_849_126_599_361_967_262);
    }
}
