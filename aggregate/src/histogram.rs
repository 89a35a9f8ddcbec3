//! Exponential histogram of OpenTelemetry's metrics data model: base 2, scale 6, relative error of a quantile under 0.6
//! %.
//!
//! In: finite doubles. Out: counts by bucket, which merge by addition, so they are identical for any order and
//! batching. A value's bucket is found from the bits of the double alone: exact at every boundary and the same on every
//! platform, unlike the logarithms of a mathematics library. Never stores a value, never takes NaN or an infinity.

use horolog_schemas::buckets::{BUCKET_BOUNDARIES as BOUNDARIES, BUCKETS_PER_DOUBLING, EXPONENT_BIAS, MANTISSA_BITS};
use serde::{Deserialize, Serialize};

/// Above every bucket index of a double, which lie in -68,737 (smallest subnormal) ..= 65,535.
const INDEX_BIAS: i32 = 1 << 17;

const MANTISSA_MASK: u64 = (1 << MANTISSA_BITS) - 1;

/// Equal slices of the mantissa, narrow enough that none has more than one boundary in it.
const SLICES: usize = 128;
const SLICE_SHIFT: u32 = MANTISSA_BITS - SLICES.ilog2();

/// By slice: how many boundaries lie below its start. One comparison then settles the bucket, where a search took six.
const BOUNDARIES_BELOW: [u8; SLICES] = {
    let mut below = [0; SLICES];
    let mut slice = 0;
    while slice < SLICES {
        let start = (slice as u64) << SLICE_SHIFT;
        let end = start + (1 << SLICE_SHIFT);
        let mut boundary = 0;
        while boundary < BOUNDARIES.len() && BOUNDARIES[boundary] < start {
            boundary += 1;
        }
        assert!(
            boundary + 1 >= BOUNDARIES.len() || BOUNDARIES[boundary + 1] >= end,
            "two boundaries in one slice"
        );
        below[slice] = boundary as u8;
        slice += 1;
    }
    below
};

/// The bucket of a positive, finite double.
fn index_of(magnitude: f64) -> i32 {
    let bits = magnitude.to_bits();
    let (exponent, mantissa) = match (bits >> MANTISSA_BITS) as i32 {
        0 => {
            // Subnormal: shift its first set bit to where a normal number has its implicit one.
            let shift = bits.leading_zeros() - (u64::BITS - 1 - MANTISSA_BITS);
            (1 - EXPONENT_BIAS - shift as i32, (bits << shift) & MANTISSA_MASK)
        }
        biased => (biased - EXPONENT_BIAS, bits & MANTISSA_MASK),
    };
    let below = usize::from(BOUNDARIES_BELOW[(mantissa >> SLICE_SHIFT) as usize]);
    let above_next = BOUNDARIES.get(below).is_some_and(|boundary| mantissa > *boundary);
    // A power of two is the upper bound of its bucket: no boundary lies below it, hence the - 1.
    exponent * BUCKETS_PER_DOUBLING - 1 + below as i32 + i32::from(above_next)
}

/// A bucket of either sign, or zero. Buckets sort as their values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bucket(i32);

/// The sign of a bucket's values, and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Below zero, by the index of the magnitude.
    Negative(i32),
    /// Zero itself.
    Zero,
    /// Above zero, by index.
    Positive(i32),
}

impl Bucket {
    /// The bucket of a finite double.
    pub fn of(value: f64) -> Self {
        debug_assert!(value.is_finite(), "validation rejects NaN and infinities");
        if value > 0.0 {
            Self(index_of(value) + INDEX_BIAS)
        } else if value < 0.0 {
            Self(-(index_of(-value) + INDEX_BIAS))
        } else {
            Self(0)
        }
    }

    /// Sign and index.
    pub fn side(self) -> Side {
        match self.0 {
            0 => Side::Zero,
            code if code > 0 => Side::Positive(code - INDEX_BIAS),
            code => Side::Negative(-code - INDEX_BIAS),
        }
    }

    /// As an unsigned number that orders as the bucket does.
    pub(crate) fn to_ordinal(self) -> u32 {
        self.0 as u32 ^ (1 << 31)
    }

    /// The bucket of [`Self::to_ordinal`].
    pub(crate) fn from_ordinal(ordinal: u32) -> Self {
        Self((ordinal ^ (1 << 31)) as i32)
    }

    /// The value that represents the bucket: the harmonic mean of its bounds, at most 0.55 % from any value in it.
    pub fn representative(self) -> f64 {
        let magnitude = |index: i32| {
            let width = 2.0 / (1.0 + (-1.0 / f64::from(BUCKETS_PER_DOUBLING)).exp2());
            (f64::from(index) / f64::from(BUCKETS_PER_DOUBLING)).exp2() * width
        };
        match self.side() {
            Side::Negative(index) => -magnitude(index),
            Side::Zero => 0.0,
            Side::Positive(index) => magnitude(index),
        }
    }
}

/// Merges neighbours in a run that is sorted by bucket: equal buckets become one, with their counts added.
pub fn add_up(sorted: impl IntoIterator<Item = (Bucket, u64)>, into: &mut Vec<(Bucket, u64)>) {
    let start = into.len();
    for (bucket, count) in sorted {
        match into[start..].last_mut() {
            Some((last, total)) if *last == bucket => *total += count,
            last => {
                debug_assert!(last.is_none_or(|(last, _)| *last < bucket), "the run is sorted");
                into.push((bucket, count));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finite() -> impl Strategy<Value = f64> {
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("finite", |value| value.is_finite())
    }

    fn histogram(values: &[f64]) -> Vec<(Bucket, u64)> {
        let mut buckets: Vec<_> = values.iter().map(|value| (Bucket::of(*value), 1)).collect();
        buckets.sort_unstable();
        let mut added = Vec::new();
        add_up(buckets, &mut added);
        added
    }

    fn merge(left: &[(Bucket, u64)], right: &[(Bucket, u64)]) -> Vec<(Bucket, u64)> {
        let mut both = [left, right].concat();
        both.sort_unstable();
        let mut added = Vec::new();
        add_up(both, &mut added);
        added
    }

    #[test]
    fn powers_of_two_are_upper_bounds_of_their_buckets() {
        for exponent in -1074..=1023 {
            let value = 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2);
            assert_eq!(
                Bucket::of(value).side(),
                Side::Positive(exponent * 64 - 1),
                "2^{exponent}"
            );
            assert_eq!(
                Bucket::of(-value).side(),
                Side::Negative(exponent * 64 - 1),
                "-2^{exponent}"
            );
            if (-1022..1023).contains(&exponent) {
                assert_eq!(
                    Bucket::of(value.next_up()).side(),
                    Side::Positive(exponent * 64),
                    "just above 2^{exponent}"
                );
            }
        }
    }

    #[test]
    fn extremes_have_buckets() {
        assert_eq!(Bucket::of(0.0).side(), Side::Zero);
        assert_eq!(Bucket::of(-0.0).side(), Side::Zero);
        assert_eq!(Bucket::of(f64::MAX).side(), Side::Positive(65_535));
        assert_eq!(Bucket::of(f64::MIN).side(), Side::Negative(65_535));
        assert_eq!(Bucket::of(f64::from_bits(1)).side(), Side::Positive(-1074 * 64 - 1));
        assert_eq!(Bucket::of(f64::from_bits(3)).side(), Side::Positive(-1073 * 64 + 37)); // 1.5 * 2^-1073
    }

    #[test]
    fn every_boundary_separates_neighbouring_doubles() {
        for (k, boundary) in BOUNDARIES.iter().enumerate().skip(1) {
            let below = f64::from_bits((1023 << 52) | boundary);
            assert_eq!(Bucket::of(below).side(), Side::Positive(k as i32 - 1));
            assert_eq!(Bucket::of(below.next_up()).side(), Side::Positive(k as i32));
            // Boundary 32 is the square root of two, which IEEE 754 rounds correctly on every platform.
            if k == 32 {
                assert!(below == 2f64.sqrt() || below.next_up() == 2f64.sqrt());
            }
        }
    }

    proptest! {
        #[test]
        fn a_bucket_holds_its_value(value in finite().prop_filter("not zero", |value| *value != 0.0)) {
            let (index, magnitude) = match Bucket::of(value).side() {
                Side::Zero => (0, f64::NAN), // wrong, so that no comparison below holds
                Side::Positive(index) => (index, value),
                Side::Negative(index) => (index, -value),
            };
            // Logarithms are inexact, so they may put a value near a boundary on its other side.
            let position = magnitude.log2() * 64.0;
            prop_assert!(position > f64::from(index) - 1e-6 && position <= f64::from(index + 1) + 1e-6);
        }

        #[test]
        fn buckets_order_as_values_do(a in finite(), b in finite()) {
            if a < b {
                prop_assert!(Bucket::of(a) <= Bucket::of(b));
                prop_assert!(Bucket::of(a).to_ordinal() <= Bucket::of(b).to_ordinal());
            }
            prop_assert_eq!(Bucket::from_ordinal(Bucket::of(a).to_ordinal()), Bucket::of(a));
        }

        #[test]
        fn merging_is_associative_commutative_and_equal_under_any_batching(
            a in prop::collection::vec(finite(), 0..40),
            b in prop::collection::vec(finite(), 0..40),
            c in prop::collection::vec(finite(), 0..40),
        ) {
            let (ha, hb, hc) = (histogram(&a), histogram(&b), histogram(&c));
            let all = histogram(&[a, b, c].concat());
            prop_assert_eq!(&merge(&merge(&ha, &hb), &hc), &all);
            prop_assert_eq!(&merge(&ha, &merge(&hb, &hc)), &all);
            prop_assert_eq!(&merge(&hc, &merge(&hb, &ha)), &all);
        }

        #[test]
        fn a_bucket_stands_for_its_values_within_six_thousandths(value in -1e9..1e9f64) {
            let off = (Bucket::of(value).representative() - value).abs();
            prop_assert!(off <= 0.006 * value.abs(), "{value}");
        }
    }
}
