//! Corrupts records, as a broken producer, a cut connection or a wrong topic would.
//!
//! Enters: the payload of a valid record in single-object encoding. Leaves: one that the pipeline must reject, whatever
//! its kind. The key is kept, so that a rejected record can be attributed to the run.

use rand::RngExt;
use rand::rngs::StdRng;

/// Two bytes of magic and eight of the schema's fingerprint.
const HEADER_BYTES: usize = 10;

/// Corrupts the payload in one of several ways.
pub(super) fn spoil(payload: &mut Vec<u8>, random: &mut StdRng) {
    match random.random_range(0..5) {
        // The map at the end is always incomplete.
        0 => payload.truncate(payload.len() - 1),
        1 => payload.truncate(random.random_range(1..payload.len() - 1)),
        // Neither Confluent's nor Avro's framing.
        2 => payload[0] = b'{',
        // An unknown schema.
        3 => payload[2..HEADER_BYTES].fill(0xAB),
        // Trailing bytes.
        _ => payload.push(0),
    }
}
