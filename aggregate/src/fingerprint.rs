//! A number for a distribution, so that two distributions can be compared without transferring them.
//!
//! The sum of each bucket's mixed number times its count, modulo 2^64. It adds up as distributions merge, and is the
//! same from our buckets, from rows of `metrics_hourly` and from raw values in SQL. Different distributions agree by
//! chance once in 2^64.

use horolog_schemas::buckets::bucket_index_sql;

use crate::histogram::{Bucket, Side};

/// Distinct from every index of a positive bucket.
const NEGATIVE: i64 = 1 << 40;
/// Distinct from both.
const ZERO: i64 = 1 << 41;

/// The number of a bucket.
pub fn of_bucket(bucket: Bucket) -> u64 {
    let number = match bucket.side() {
        Side::Positive(index) => i64::from(index),
        Side::Negative(index) => i64::from(index) + NEGATIVE,
        Side::Zero => ZERO,
    };
    int_hash_64(number as u64)
}

/// `intHash64` of ClickHouse: the finalizer of MurmurHash3 behind a constant (`src/Functions/FunctionsHashing.h`).
fn int_hash_64(number: u64) -> u64 {
    let mut x = number ^ 0x4CF2_D2BA_AE6D_A887;
    x ^= x >> 33;
    x = x.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    x ^= x >> 33;
    x = x.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    x ^ (x >> 33)
}

/// The SQL of the number of a row of `metrics_hourly` or of its views, named `h`.
pub fn of_hour_sql() -> String {
    let side = |side: &str, offset: i64| {
        format!(
            "arraySum(arrayMap((b, n) -> intHash64(toUInt64(toInt64(b) + toInt64({offset}))) * n, \
             mapKeys(h.{side}), mapValues(h.{side})))"
        )
    };
    format!(
        "({} + {} + intHash64(toUInt64({ZERO})) * h.zero_count)",
        side("positive", 0),
        side("negative", NEGATIVE)
    )
}

/// The SQL of the number of one raw value.
pub fn of_value_sql(value: &str) -> String {
    format!(
        "intHash64(if({value} = 0, toUInt64({ZERO}), toUInt64(toInt64({}) + if({value} < 0, toInt64({NEGATIVE}), toInt64(0)))))",
        bucket_index_sql(value)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn buckets_of_either_sign_and_zero_have_numbers_of_their_own() {
        let values = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0];
        let numbers: BTreeSet<u64> = values.map(|value| of_bucket(Bucket::of(value))).into();
        assert_eq!(numbers.len(), values.len());
    }

    #[test]
    fn numbers_are_mixed_as_clickhouse_does() {
        assert_eq!(int_hash_64(5), 15_228_578_409_069_794_350);
        assert_eq!(int_hash_64(-5_i64 as u64), 13_263_830_642_547_698_461);
    }
}
