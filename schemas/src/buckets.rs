//! The buckets of the hourly distribution (OpenTelemetry's exponential histogram, base 2, scale 6), as numbers and as
//! SQL.
//!
//! In: nothing, or the SQL of a column. Out: the bucket boundaries that the aggregate stage uses, and an expression
//! that puts a raw value into exactly the same bucket in ClickHouse. Both use one table, so that an hour counted from
//! raw rows (fresh answers, rebuild, verify) equals the stage's to the last observation. The bucket follows from the
//! bits of the double alone, not from a logarithm, which each math library rounds differently. Released migrations
//! contain the expression, so its text is frozen (`migrations/checksums`).

/// Buckets per doubling: 2^6. Bucket `i` holds `(2^(i/64), 2^((i+1)/64)]`.
pub const BUCKETS_PER_DOUBLING: i32 = 64;

/// Explicitly stored bits of a double's mantissa; the leading 1 is implied (IEEE 754, binary64).
pub const MANTISSA_BITS: u32 = 52;

/// The bias of a double's stored exponent.
pub const EXPONENT_BIAS: i32 = 1023;

/// `floor((2^(k/64) - 1) * 2^52)`: the mantissa bits of the bucket boundaries in [1, 2). All but the first are
/// irrational, so `mantissa > BOUNDARIES[k]` tells exactly whether a value lies above boundary `k`.
#[rustfmt::skip]
pub const BUCKET_BOUNDARIES: [u64; 64] = [
    0x0000_0000_0000_0000, 0x0000_2C9A_3E77_8060, 0x0000_59B0_D315_8574, 0x0000_8745_1875_9BC8,
    0x0000_B558_6CF9_890F, 0x0000_E3EC_32D3_D1A2, 0x0001_1301_D012_5B50, 0x0001_429A_AEA9_2DDF,
    0x0001_72B8_3C7D_517A, 0x0001_A35B_EB6F_CB75, 0x0001_D487_3168_B9AA, 0x0002_063B_8862_8CD6,
    0x0002_387A_6E75_6238, 0x0002_6B45_65E2_7CDD, 0x0002_9E9D_F51F_DEE1, 0x0002_D285_A6E4_030B,
    0x0003_06FE_0A31_B715, 0x0003_3C08_B264_16FF, 0x0003_71A7_373A_A9CA, 0x0003_A7DB_34E5_9FF6,
    0x0003_DEA6_4C12_3422, 0x0004_160A_21F7_2E29, 0x0004_4E08_6061_892D, 0x0004_86A2_B5C1_3CD0,
    0x0004_BFDA_D536_2A27, 0x0004_F9B2_769D_2CA6, 0x0005_342B_569D_4F81, 0x0005_6F47_36B5_27DA,
    0x0005_AB07_DD48_5429, 0x0005_E76F_15AD_2148, 0x0006_247E_B03A_5584, 0x0006_6238_8255_2224,
    0x0006_A09E_667F_3BCC, 0x0006_DFB2_3C65_1A2E, 0x0007_1F75_E8EC_5F73, 0x0007_5FEB_5642_67C8,
    0x0007_A114_73EB_0186, 0x0007_E2F3_36CF_4E62, 0x0008_2589_994C_CE12, 0x0008_68D9_9B44_92EC,
    0x0008_ACE5_422A_A0DB, 0x0008_F1AE_9915_7736, 0x0009_3737_B0CD_C5E4, 0x0009_7D82_9FDE_4E4F,
    0x0009_C491_82A3_F090, 0x000A_0C66_7B5D_E564, 0x000A_5503_B23E_255C, 0x000A_9E6B_5579_FDBF,
    0x000A_E89F_995A_D3AD, 0x000B_33A2_B84F_15FA, 0x000B_7F76_F2FB_5E46, 0x000B_CC1E_904B_C1D2,
    0x000C_199B_DD85_529C, 0x000C_67F1_2E57_D14B, 0x000C_B720_DCEF_9069, 0x000D_072D_4A07_897B,
    0x000D_5818_DCFB_A487, 0x000D_A9E6_03DB_3285, 0x000D_FC97_337B_9B5E, 0x000E_502E_E78B_3FF6,
    0x000E_A4AF_A2A4_90D9, 0x000E_FA1B_EE61_5A27, 0x000F_5076_5B6E_4540, 0x000F_A7C1_819E_90D8,
];

/// SQL for the bucket index of `|value|`, an `Int32`. Meaningless for zero, which is in no such bucket. `value` is the
/// SQL of a finite `Float64`.
///
/// Buckets include their upper bound. The next smaller double lies in the same bucket, except for a bucket's smallest
/// member, and even a power of two shares a bucket with its predecessor. So the predecessor's exponent and the number
/// of boundaries at or below its mantissa give the index, without special cases. `roundDown` finds the boundary by
/// binary search; its rank is recovered from its logarithm, which is within 1e-12 of a whole number before rounding. A
/// subnormal is first made normal by an exact multiplication.
pub fn bucket_index_sql(value: &str) -> String {
    let boundaries = BUCKET_BOUNDARIES.map(|boundary| boundary.to_string()).join(", ");
    // 2^54 makes even the smallest double, 2^-1074, normal.
    let (lift, lifted, least_normal) = (54, 1_u64 << 54, f64::MIN_POSITIVE);
    let unit = 1_u64 << MANTISSA_BITS;
    let bias = EXPONENT_BIAS * BUCKETS_PER_DOUBLING;
    let lift_buckets = lift * BUCKETS_PER_DOUBLING;
    let normal = format!("if(abs({value}) < {least_normal:e}, abs({value}) * {lifted}, abs({value}))");
    let before = format!("toUInt64(reinterpretAsUInt64({normal}) - 1)");
    let boundary = format!("roundDown(bitAnd({before}, {}), [{boundaries}])", unit - 1);
    format!(
        "toInt32(bitShiftRight({before}, {MANTISSA_BITS}) * {BUCKETS_PER_DOUBLING} \
         + round(log2(1 + {boundary} / {unit}) * {BUCKETS_PER_DOUBLING}) - {bias} \
         - if(abs({value}) < {least_normal:e}, {lift_buckets}, 0))"
    )
}
