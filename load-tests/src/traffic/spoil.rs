//! Makes bytes that are no record: what a broken producer, a cut connection or a wrong topic would leave in the log.
//!
//! Enters: the payload of a good record in single-object encoding. Leaves: one that the pipeline has to reject, whichever kind it
//! was. The key stays, so that a rejected record can be told to be ours.

use rand::RngExt;
use rand::rngs::StdRng;

/// Two bytes of magic and eight of the schema's fingerprint.
const HEADER_BYTES: usize = 10;

/// Spoils it in one of several ways.
pub(super) fn spoil(payload: &mut Vec<u8>, random: &mut StdRng) {
    match random.random_range(0..5) {
        // The map at the end is never whole.
        0 => payload.truncate(payload.len() - 1),
        1 => payload.truncate(random.random_range(1..payload.len() - 1)),
        // Neither Confluent's framing nor Avro's.
        2 => payload[0] = b'{',
        // A schema that nobody knows.
        3 => payload[2..HEADER_BYTES].fill(0xAB),
        // More than a record.
        _ => payload.push(0),
    }
}
