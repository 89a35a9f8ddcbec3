//! A raw value falls into the same bucket in SQL as in the aggregate stage.

use horolog_aggregate::histogram::{Bucket, Side};
use horolog_schemas::buckets::{BUCKET_BOUNDARIES, bucket_index_sql};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bed::Bed;

const RANDOM_VALUES: usize = 100_000;
/// Twenty digits each, in a statement of at most 256 KiB.
const VALUES_A_STATEMENT: usize = 10_000;

/// Both neighbours of every boundary in normal and subnormal doublings, the extremes, and random bit patterns.
fn values(seed: u64) -> Vec<f64> {
    let mut bits: Vec<u64> = vec![1, 2, 3, f64::MIN_POSITIVE.to_bits(), f64::MAX.to_bits()];
    for exponent in [1, 2, 512, 1022, 1023, 1024, 1075, 2046_u64] {
        for boundary in BUCKET_BOUNDARIES {
            let at = (exponent << 52) | boundary;
            bits.extend([at - 1, at, at + 1]);
        }
    }
    for shift in 0..52 {
        for boundary in BUCKET_BOUNDARIES {
            let at = ((1 << 52) | boundary) >> (shift + 1);
            bits.extend([at.saturating_sub(1).max(1), at.max(1), at + 1]);
        }
    }
    let mut random = StdRng::seed_from_u64(seed);
    bits.extend((0..RANDOM_VALUES).map(|_| random.random::<u64>()));
    let both_signs = bits
        .into_iter()
        .flat_map(|bits| [f64::from_bits(bits), -f64::from_bits(bits)]);
    both_signs.filter(|value| value.is_finite() && *value != 0.0).collect()
}

#[test]
fn a_value_has_the_bucket_in_sql_that_the_stage_gives_it() {
    let seed = std::env::var("HOROLOG_SEED").map_or(20_260_101, |seed| seed.parse().unwrap());
    println!("HOROLOG_SEED={seed}");
    for values in values(seed).chunks(VALUES_A_STATEMENT) {
        let bits: Vec<String> = values.iter().map(|value| value.to_bits().to_string()).collect();
        let found: Vec<(u64, i32)> = Bed::shared().sql(&format!(
            "select bits, {} as bucket from (select arrayJoin([{}]::Array(UInt64)) as bits, reinterpretAsFloat64(bits) as v)",
            bucket_index_sql("v"),
            bits.join(",")
        ));
        assert_eq!(found.len(), values.len());
        for (bits, index) in found {
            let value = f64::from_bits(bits);
            let expected = match Bucket::of(value).side() {
                Side::Positive(index) | Side::Negative(index) => index,
                Side::Zero => unreachable!("zero was left out"),
            };
            assert_eq!(index, expected, "{value:e}, bits {bits:#018x}");
        }
    }
}
