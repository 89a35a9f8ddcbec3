//! Avro's binary encoding of the few types that our records use, appended to a buffer.
//!
//! In: values. Out: bytes appended to the buffer. Never fails and knows no schema: the caller is responsible for the
//! order of the fields. Hand-written because a load generator must encode faster than the pipeline decodes: the benchmark
//! `hot_path` of load-tests compares it with apache-avro's serializer, and tests check it against the output of fastavro
//! and apache-avro.

use std::collections::BTreeMap;

use crate::framing::{CONFLUENT_MAGIC, SINGLE_OBJECT_MAGIC};

/// Starts a payload in single-object encoding.
pub(crate) fn single_object_header(fingerprint: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&SINGLE_OBJECT_MAGIC);
    out.extend_from_slice(&fingerprint.to_le_bytes());
}

/// Starts a payload in Confluent's framing.
pub(crate) fn confluent_header(id: u32, out: &mut Vec<u8>) {
    out.push(CONFLUENT_MAGIC);
    out.extend_from_slice(&id.to_be_bytes());
}

/// A `long` or `int`, or the index of an enum symbol: zigzag, seven bits a byte, least significant first.
pub(crate) fn long(value: i64, out: &mut Vec<u8>) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag >= 0x80 {
        out.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// A `double`.
pub(crate) fn double(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A `string`: its length in bytes, then the bytes.
pub(crate) fn text(text: &str, out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A map of strings: one block, then the empty block that ends it.
pub(crate) fn map(entries: &BTreeMap<String, String>, out: &mut Vec<u8>) {
    if !entries.is_empty() {
        long(entries.len() as i64, out);
        for (key, value) in entries {
            text(key, out);
            text(value, out);
        }
    }
    long(0, out);
}
