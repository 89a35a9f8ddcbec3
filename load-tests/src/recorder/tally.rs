//! Which records were acknowledged: so small that it is kept for any length of run, so exact that one lost record shows.
//!
//! Of each bucket of neighbouring offsets of a partition, how many records and the sum of a hash of their offsets. The same is
//! asked of the tables: counts and sums are equal only when the same offsets are there, each once. ClickHouse's `intHash64` is
//! the hash, so that the server adds up the same numbers.

use std::collections::BTreeMap;

use horolog_schemas::Kind;

use crate::sender::Acknowledged;

/// Offsets of a bucket: a difference is looked into by reading one bucket.
pub const BUCKET_OFFSETS: i64 = 65_536;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket {
    /// Of which topic.
    pub kind: Kind,
    /// The partition.
    pub partition: i32,
    /// Offset divided by [`BUCKET_OFFSETS`].
    pub number: i64,
}

/// Some records of a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub records: u64,
    /// Wrapping sum of their offsets' hashes.
    pub hashes: u64,
}

/// The records of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that become rows.
    pub good: BTreeMap<Bucket, Totals>,
    /// Those that are rejected.
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

/// `intHash64(kafka_offset)`, as ClickHouse has it: the finalizer of MurmurHash3 over a number that was mixed with a constant.
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

    /// The numbers are ClickHouse's: `select intHash64(toInt64(123456789)), …`.
    #[test]
    fn the_hash_is_that_of_the_server() {
        assert_eq!(offset_hash(123_456_789), 16_268_010_412_262_273_259);
        assert_eq!(offset_hash(0), 4_761_183_170_873_013_810);
        assert_eq!(offset_hash(-5), 13_263_830_642_547_698_461);
        let sum = (0..1_000).fold(0u64, |sum, offset| sum.wrapping_add(offset_hash(offset)));
        assert_eq!(sum, 14_849_126_599_361_967_262);
    }
}
