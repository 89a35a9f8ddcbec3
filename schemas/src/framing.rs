//! The two kinds of header that identify the schema of a payload: Confluent's and Avro's single-object encoding.
//!
//! In: a payload. Out: the reference to the writer's schema and the datum after it, or what is wrong. Never looks into
//! the datum, never asks a registry.

use crate::reject::{Fault, Reason};

/// The longest payload that is decoded, in bytes. Part of the validation rules.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// First byte of Confluent's framing; the schema id follows, big-endian.
pub(crate) const CONFLUENT_MAGIC: u8 = 0x00;
/// First bytes of Avro's single-object encoding; the Rabin fingerprint follows, little-endian.
pub(crate) const SINGLE_OBJECT_MAGIC: [u8; 2] = [0xC3, 0x01];

/// How a payload identifies the schema that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SchemaReference {
    /// The id in a schema registry.
    Id(u32),
    /// The Rabin fingerprint of the schema's canonical form.
    Fingerprint(u64),
}

impl std::fmt::Display for SchemaReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema id {id}"),
            Self::Fingerprint(fingerprint) => write!(f, "schema fingerprint {fingerprint:016x}"),
        }
    }
}

/// Splits a payload into the reference to its schema and the datum.
pub(crate) fn split(payload: Option<&[u8]>) -> Result<(SchemaReference, &[u8]), Fault> {
    let payload = payload.ok_or_else(|| Fault::new(Reason::Tombstone, "the record has no payload"))?;
    if payload.len() > RECORD_BYTES_MAX {
        let detail = format!(
            "the payload has {} bytes, the limit is {RECORD_BYTES_MAX}",
            payload.len()
        );
        return Err(Fault::new(Reason::RecordTooLarge, detail));
    }
    if let Some(rest) = payload.strip_prefix(&[CONFLUENT_MAGIC]) {
        let (id, datum) = rest.split_first_chunk().ok_or_else(|| truncated(payload, 5))?;
        return Ok((SchemaReference::Id(u32::from_be_bytes(*id)), datum));
    }
    if let Some(rest) = payload.strip_prefix(&SINGLE_OBJECT_MAGIC) {
        let (fingerprint, datum) = rest.split_first_chunk().ok_or_else(|| truncated(payload, 10))?;
        return Ok((SchemaReference::Fingerprint(u64::from_le_bytes(*fingerprint)), datum));
    }
    match payload {
        [] => Err(Fault::new(Reason::EmptyPayload, "the payload has no bytes")),
        [first] if *first == SINGLE_OBJECT_MAGIC[0] => Err(truncated(payload, 10)),
        [first, ..] => {
            let detail =
                format!("the payload starts with 0x{first:02x}, neither confluent's nor single-object framing");
            Err(Fault::new(Reason::UnknownFraming, detail))
        }
    }
}

fn truncated(payload: &[u8], header: usize) -> Fault {
    let detail = format!(
        "the payload has {} bytes, its header alone takes {header}",
        payload.len()
    );
    Fault::new(Reason::TruncatedHeader, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(payload: &[u8]) -> Reason {
        split(Some(payload)).unwrap_err().reason
    }

    #[test]
    fn reads_both_framings() {
        assert_eq!(
            split(Some(&[0, 0, 0, 1, 2, 9, 8])).unwrap(),
            (SchemaReference::Id(258), &[9, 8][..])
        );
        let framed = [0xC3, 0x01, 8, 7, 6, 5, 4, 3, 2, 1, 9];
        let fingerprint = SchemaReference::Fingerprint(0x0102_0304_0506_0708);
        assert_eq!(split(Some(&framed)).unwrap(), (fingerprint, &[9][..]));
    }

    #[test]
    fn says_what_is_wrong_with_a_header() {
        assert_eq!(split(None).unwrap_err().reason, Reason::Tombstone);
        assert_eq!(reason(&[]), Reason::EmptyPayload);
        assert_eq!(reason(b"{\"json\": true}"), Reason::UnknownFraming);
        assert_eq!(reason(&[0xC3, 0x02, 0, 0, 0, 0, 0, 0, 0, 0]), Reason::UnknownFraming);
        for length in 1..5 {
            assert_eq!(reason(&[0; 5][..length]), Reason::TruncatedHeader);
        }
        for length in 1..10 {
            assert_eq!(
                reason(&[0xC3, 1, 0, 0, 0, 0, 0, 0, 0, 0][..length]),
                Reason::TruncatedHeader
            );
        }
    }

    #[test]
    fn the_size_limit_is_inclusive() {
        let mut payload = vec![0; RECORD_BYTES_MAX + 1];
        assert_eq!(reason(&payload), Reason::RecordTooLarge);
        payload.pop();
        assert!(split(Some(&payload)).is_ok());
    }
}
