//! Whatever arrives, each record becomes a row or is rejected, without a panic and without losing a neighbour. Covers
//! every truncation and every single-bit flip of golden records, junk, and mixtures of all of these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;

use std::collections::BTreeMap;
use std::fmt::Debug;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::{Schema, from_value};
use arrow::array::RecordBatch;
use batch::{
    decode, decoder, encoded_event, encoded_sample, events, golden, golden_event, golden_sample, raw, samples,
};
use horolog_schemas::{
    AuditEvent, BATCH_BYTES_MAX, DecodeError, Decoded, Kind, MetricSample, RECORD_BYTES_MAX, Reason, Step,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;

const HEADER: usize = 10;

fn truncations(payload: &[u8]) -> Vec<Vec<u8>> {
    (0..payload.len()).map(|length| payload[..length].to_vec()).collect()
}

fn flips(payload: &[u8]) -> Vec<Vec<u8>> {
    let flip = |bit: usize| {
        let mut flipped = payload.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    };
    (0..payload.len() * 8).map(flip).collect()
}

/// Puts each payload between two good ones and checks that the good ones survive unharmed and in place. Returns the
/// rows of the others, by index.
fn decode_among_neighbours<T: PartialEq + Debug>(
    kind: Kind,
    good: (&[u8], &T),
    payloads: &[Vec<u8>],
    read: impl Fn(&RecordBatch) -> Vec<T>,
) -> (BTreeMap<usize, T>, BTreeMap<usize, Reason>) {
    let mixed: Vec<&[u8]> = payloads.iter().flat_map(|payload| [payload, good.0]).collect();
    let decoded = decode(kind, &mixed);
    assert_accounted(&decoded, mixed.len());
    let mut rows: BTreeMap<usize, T> = decoded
        .positions
        .iter()
        .map(|position| *position as usize)
        .zip(read(&decoded.columns))
        .collect();
    for number in 0..payloads.len() {
        assert_eq!(
            rows.remove(&(number * 2 + 1)).as_ref(),
            Some(good.1),
            "the neighbour of payload {number}"
        );
    }
    let rows = rows.into_iter().map(|(position, row)| (position / 2, row)).collect();
    let rejected = decoded
        .rejected
        .iter()
        .map(|rejected| (rejected.position as usize / 2, rejected.reason))
        .collect();
    (rows, rejected)
}

fn assert_accounted(decoded: &Decoded, records: usize) {
    let mut positions: Vec<u32> = decoded.rejected.iter().map(|rejected| rejected.position).collect();
    assert!(positions.is_sorted() && decoded.positions.is_sorted());
    assert_eq!(decoded.positions.len(), decoded.columns.num_rows());
    positions.extend(&decoded.positions);
    positions.sort_unstable();
    assert_eq!(positions, (0..records as u32).collect::<Vec<u32>>());
}

/// An independent reference: what apache-avro reads from a payload with an intact header.
fn read_by_apache<T: DeserializeOwned>(schema: &Schema, payload: &[u8]) -> Option<T> {
    let mut datum = &payload[HEADER..];
    let value = GenericDatumReader::builder(schema)
        .build()
        .unwrap()
        .read_value(&mut datum)
        .ok()?;
    if datum.is_empty() {
        from_value(&value).ok()
    } else {
        None
    }
}

fn survives_every_truncation_and_flip<T: PartialEq + Debug + DeserializeOwned>(
    kind: Kind,
    record: &T,
    read: impl Fn(&RecordBatch) -> Vec<T>,
) {
    let payload = golden(kind, "single_object");
    let (rows, rejected) = decode_among_neighbours(kind, (&payload, record), &truncations(&payload), &read);
    assert_eq!(rows.len(), 0, "a truncated record is never a row");
    assert_eq!(rejected[&0], Reason::EmptyPayload);
    assert!((1..HEADER).all(|length| rejected[&length] == Reason::TruncatedHeader));
    assert!((HEADER..payload.len()).all(|length| rejected[&length] == Reason::Truncated));

    let flipped = flips(&payload);
    let (rows, rejected) = decode_among_neighbours(kind, (&payload, record), &flipped, &read);
    assert_eq!(rows.len() + rejected.len(), flipped.len());
    let schema = Schema::parse_str(kind.avro_schema()).unwrap();
    for (number, row) in &rows {
        // A flip in a text, a number or an index may give another sound record; the row must then equal that record.
        assert_eq!(
            read_by_apache(&schema, &flipped[*number]).as_ref(),
            Some(row),
            "flip of bit {number}"
        );
        assert_ne!(row, record, "flip of bit {number}");
    }
    for (number, reason) in &rejected {
        if reason.step() == Step::Decode && *reason != Reason::DuplicateMapKey {
            let opinion = read_by_apache::<T>(&schema, &flipped[*number]);
            assert!(
                opinion.is_none(),
                "flip of bit {number}: {reason:?}, but apache-avro reads it"
            );
        }
    }
    for bit in 0..HEADER * 8 {
        assert_eq!(rejected[&bit].step(), Step::Framing, "flip of bit {bit}");
    }
}

#[test]
fn a_sample_survives_every_truncation_and_every_flipped_bit() {
    survives_every_truncation_and_flip(Kind::MetricSample, &golden_sample(), samples);
}

#[test]
fn an_event_survives_every_truncation_and_every_flipped_bit() {
    survives_every_truncation_and_flip(Kind::AuditEvent, &golden_event(), events);
}

#[test]
fn confluent_framing_survives_every_truncation_and_every_flipped_bit() {
    for kind in Kind::ALL {
        let payload = golden(kind, "confluent");
        let mut schemas = vec![kind.avro_schema().to_owned(); 258];
        schemas.push(kind.avro_schema().to_owned());
        let mut decoder = batch::decoder_with(kind, &schemas);
        for damaged in [truncations(&payload), flips(&payload)] {
            let mixed: Vec<&[u8]> = damaged.iter().flat_map(|damaged| [damaged, &payload[..]]).collect();
            let decoded = decoder.decode(&raw(&mixed)).unwrap();
            assert_accounted(&decoded, mixed.len());
            let kept = decoded.positions.iter().filter(|position| *position % 2 == 1).count();
            assert_eq!(kept, damaged.len());
        }
    }
}

#[test]
fn a_decoder_is_as_good_as_new_after_a_batch_of_damaged_records() {
    let payload = golden(Kind::MetricSample, "single_object");
    let mut decoder = decoder(Kind::MetricSample);
    for damaged in flips(&payload).chunks(7) {
        decoder.decode(&raw(damaged)).unwrap();
        let decoded = decoder.decode(&raw(&[&payload])).unwrap();
        assert_eq!(samples(&decoded.columns), [golden_sample()]);
    }
}

#[test]
fn an_empty_batch_and_one_without_a_valid_record_have_the_same_columns() {
    let schema = decode(Kind::AuditEvent, &[encoded_event(&golden_event())])
        .columns
        .schema();
    let none: [&[u8]; 0] = [];
    assert_eq!(decode(Kind::AuditEvent, &none).columns.schema(), schema);
    let decoded = decode(Kind::AuditEvent, &[b"junk"]);
    assert_eq!((decoded.columns.schema(), decoded.columns.num_rows()), (schema, 0));
}

/// Lengths and counts that a corrupt record may declare; none may be trusted before the bytes are there.
#[test]
fn huge_declared_lengths_and_counts_are_compared_and_never_reserved() {
    let header = golden(Kind::MetricSample, "single_object")[..HEADER].to_vec();
    let with = |bytes: &[u8]| [&header[..], bytes].concat();
    let before_labels = encoded_sample(&MetricSample {
        labels: BTreeMap::new(),
        ..golden_sample()
    });
    let labels = |bytes: &[u8]| [&before_labels[..before_labels.len() - 1], bytes].concat();
    let huge = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let smallest = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    let cases = [
        ("a text of i64::MAX bytes", with(&huge), Reason::Truncated),
        ("a text of i64::MIN bytes", with(&smallest), Reason::MalformedLength),
        (
            "a text of 2 GiB",
            with(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F]),
            Reason::Truncated,
        ),
        (
            "a number of more than 64 bits",
            with(&[0xFF; 10]),
            Reason::MalformedNumber,
        ),
        ("a number without end", with(&[0xFF; 9]), Reason::Truncated),
        ("i64::MAX entries", labels(&huge), Reason::MalformedLength),
        (
            "i64::MIN entries",
            labels(&[&smallest[..], &[2]].concat()),
            Reason::MalformedLength,
        ),
        (
            "2^31 entries",
            labels(&[0x80, 0x80, 0x80, 0x80, 0x10]),
            Reason::MalformedLength,
        ),
        (
            "a million entries in three bytes",
            labels(&[0x80, 0x89, 0x7A, 0, 0, 0]),
            Reason::Truncated,
        ),
        (
            "a block of a negative size",
            labels(&[1, 1, 0, 0, 0]),
            Reason::MalformedLength,
        ),
        (
            "a block of the wrong size",
            labels(&[1, 6, 0, 0, 0]),
            Reason::MalformedLength,
        ),
        (
            "a block of i64::MAX bytes",
            labels(&[&[1], &huge[..], &[0, 0, 0]].concat()),
            Reason::MalformedLength,
        ),
    ];
    let payloads: Vec<Vec<u8>> = cases.iter().map(|(_, payload, _)| payload.clone()).collect();
    let good = golden(Kind::MetricSample, "single_object");
    let (rows, rejected) = decode_among_neighbours(Kind::MetricSample, (&good, &golden_sample()), &payloads, samples);
    assert_eq!(rows.len(), 0);
    for (number, (case, _, reason)) in cases.iter().enumerate() {
        assert_eq!(rejected[&number], *reason, "{case}");
    }
}

#[test]
fn maps_in_several_blocks_and_with_sizes_are_read() {
    let before_labels = encoded_sample(&MetricSample {
        labels: BTreeMap::new(),
        ..golden_sample()
    });
    let mut payload = before_labels[..before_labels.len() - 1].to_vec();
    // A plain block with the entry a=b; a block with the count -1 (so with its size, four bytes) and the entry c=d; the
    // end.
    payload.extend([2, 2, b'a', 2, b'b', 1, 8, 2, b'c', 2, b'd', 0]);
    let expected = MetricSample {
        labels: batch::texts(&[("a", "b"), ("c", "d")]),
        ..golden_sample()
    };
    assert_eq!(samples(&decode(Kind::MetricSample, &[payload]).columns), [expected]);
}

#[test]
fn the_largest_record_is_a_row_and_one_byte_more_is_not() {
    let event = |length| AuditEvent {
        error_message: "x".repeat(length),
        ..golden_event()
    };
    let frame = encoded_event(&event(RECORD_BYTES_MAX / 2)).len() - RECORD_BYTES_MAX / 2;
    let largest = encoded_event(&event(RECORD_BYTES_MAX - frame));
    assert_eq!(largest.len(), RECORD_BYTES_MAX);
    let decoded = decode(
        Kind::AuditEvent,
        &[largest, encoded_event(&event(RECORD_BYTES_MAX - frame + 1))],
    );
    assert_eq!(decoded.positions, [0]);
    assert_eq!(decoded.rejected[0].reason, Reason::RecordTooLarge);
}

/// The payloads alias one buffer, so that the test does not need the memory of a real batch.
#[test]
fn a_batch_that_columns_cannot_hold_is_an_error_and_nobodys_rejection() {
    let payload = vec![0; RECORD_BYTES_MAX];
    let batch = vec![&payload; BATCH_BYTES_MAX / RECORD_BYTES_MAX + 1];
    let error = decoder(Kind::MetricSample).decode(&raw(&batch)).unwrap_err();
    assert!(matches!(error, DecodeError::BatchTooLarge { .. }), "{error}");
}

proptest! {
    #[test]
    fn junk_is_accounted_for(
        junk in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..40),
        audit in any::<bool>(),
    ) {
        let kind = if audit { Kind::AuditEvent } else { Kind::MetricSample };
        let header = golden(kind, "single_object")[..HEADER].to_vec();
        let framed = |(framed, bytes): &(bool, Vec<u8>)| if *framed { [&header[..], bytes].concat() } else { bytes.clone() };
        let payloads: Vec<Vec<u8>> = junk.iter().map(framed).collect();
        assert_accounted(&decode(kind, &payloads), payloads.len());
    }

    #[test]
    fn a_few_changed_bytes_are_accounted_for(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let good = golden(Kind::AuditEvent, "single_object");
        let mut damaged = good.clone();
        for (index, byte) in changes {
            let at = index.index(damaged.len());
            damaged[at] = byte;
        }
        decode_among_neighbours(Kind::AuditEvent, (&good, &golden_event()), &[damaged], events);
    }
}
