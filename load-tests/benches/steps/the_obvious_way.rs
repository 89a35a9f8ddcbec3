//! The same work as a first implementation would do it: an `apache-avro` value per record, a RowBinary row per value.

use std::hint::black_box;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use horolog_schemas::Kind;

use super::{BATCH, Step, payloads, samples};

/// Bytes of the single-object header.
const HEADER: usize = 10;

fn step(mut each: impl FnMut(&Value) + 'static) -> Step {
    let (payloads, schema) = (
        payloads(BATCH, 2_000),
        Schema::parse_str(Kind::MetricSample.avro_schema()).unwrap(),
    );
    let run = move || {
        let reader = GenericDatumReader::builder(&schema).build().unwrap();
        for payload in &payloads {
            each(&reader.read_value(&mut &payload[HEADER..]).unwrap());
        }
    };
    Step {
        records: BATCH,
        run: Box::new(run),
    }
}

pub fn encode() -> Step {
    let (samples, mut buffer) = (samples(2_000), Vec::new());
    let schema = Schema::parse_str(Kind::MetricSample.avro_schema()).unwrap();
    let run = move || {
        let writer = GenericDatumWriter::builder(&schema).build().unwrap();
        for sample in &samples {
            buffer.clear();
            writer.write_ser(&mut buffer, sample).unwrap();
            black_box(&buffer);
        }
    };
    Step {
        records: BATCH,
        run: Box::new(run),
    }
}

pub fn values() -> Step {
    step(|value| {
        black_box(value);
    })
}

pub fn row_binary() -> Step {
    let mut rows = Vec::new();
    let mut count = 0;
    step(move |value| {
        if count % BATCH == 0 {
            rows.clear();
        }
        write(value, &mut rows);
        count += 1;
        black_box(&rows);
    })
}

/// ClickHouse's RowBinary, <https://clickhouse.com/docs/interfaces/formats/RowBinary>.
fn write(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Record(fields) => fields.iter().for_each(|(_, value)| write(value, into)),
        Value::String(text) => write_text(text, into),
        Value::Long(number) | Value::TimestampMicros(number) => into.extend_from_slice(&number.to_le_bytes()),
        Value::Double(number) => into.extend_from_slice(&number.to_le_bytes()),
        Value::Enum(index, _) => into.push(*index as u8 + 1),
        Value::Map(entries) => {
            write_length(entries.len(), into);
            for (key, value) in entries {
                write_text(key, into);
                write(value, into);
            }
        }
        other => panic!("no field of a sample is {other:?}"),
    }
}

fn write_text(text: &str, into: &mut Vec<u8>) {
    write_length(text.len(), into);
    into.extend_from_slice(text.as_bytes());
}

fn write_length(mut length: usize, into: &mut Vec<u8>) {
    while length >= 0x80 {
        into.push(length as u8 | 0x80);
        length >>= 7;
    }
    into.push(length as u8);
}
