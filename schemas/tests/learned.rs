//! What a schema registry says of ids while records are decoded.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod batch;

use std::sync::Arc;

use batch::{golden_sample, raw, samples};
use horolog_schemas::{Decoder, Kind, Reason, WriterSchemas};

/// A sample in Confluent's framing.
fn framed(id: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    golden_sample().encode_confluent(id, &mut payload);
    payload
}

#[test]
fn a_decoder_reads_what_was_learned_since_its_last_batch() {
    let schemas = Arc::new(WriterSchemas::load(Kind::MetricSample, None).unwrap());
    let mut decoder = Decoder::new(Arc::clone(&schemas));
    let payloads = [framed(7), framed(8)];
    let reasons = |decoder: &mut Decoder| -> Vec<Reason> {
        let decoded = decoder.decode(&raw(&payloads)).unwrap();
        decoded.rejected.iter().map(|rejected| rejected.reason).collect()
    };
    assert_eq!(reasons(&mut decoder), [Reason::UnknownSchema, Reason::UnknownSchema]);

    schemas.learn(7, Ok(Kind::MetricSample.avro_schema()));
    let decoded = decoder.decode(&raw(&payloads)).unwrap();
    assert_eq!(samples(&decoded.columns), [golden_sample()]);
    assert_eq!(decoded.rejected[0].reason, Reason::UnknownSchema);

    for (id, schema, reason) in [
        (
            8,
            Err("it is a schema of the type PROTOBUF".to_owned()),
            Reason::IncompatibleSchema,
        ),
        // An id stands for one schema.
        (8, Ok(Kind::MetricSample.avro_schema()), Reason::IncompatibleSchema),
    ] {
        schemas.learn(id, schema);
        assert_eq!(reasons(&mut decoder), [reason]);
    }
    for (id, schema) in [(9, Kind::AuditEvent.avro_schema()), (10, "{"), (11, "\"string\"")] {
        schemas.learn(id, Ok(schema));
        let decoded = decoder.decode(&raw(&[framed(id)])).unwrap();
        assert_eq!(decoded.rejected[0].reason, Reason::IncompatibleSchema, "{schema}");
    }
}

#[test]
fn ids_that_are_not_known_are_asked_about_the_most_frequent_first() {
    let schemas = WriterSchemas::load(Kind::MetricSample, None).unwrap();
    schemas.learn(1, Ok(Kind::MetricSample.avro_schema()));
    let mut single = Vec::new();
    golden_sample().encode_single_object(&mut single);
    let mut payloads: Vec<Option<Vec<u8>>> = [3, 1, 2, 3, 1, 4, 1].map(|id| Some(framed(id))).into();
    payloads.extend([None, Some(single), Some(vec![0, 0, 0])]);
    let payloads = payloads.iter().map(Option::as_deref);
    assert_eq!(schemas.unknown_ids(payloads), [3, 2, 4]);
}
