//! From the poll to the wire: the ingest stage's work on a batch.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;
use horolog_schemas::{Decoded, Decoder, Kind, Origin, PartitionKey, WriterSchemas, pieces, rows};
use horolog_stage::range::{Filling, PartitionId, Range, RecordMark};

use super::{BATCH, Step, payloads, records, samples};

const KIND: Kind = Kind::MetricSample;
const SERIES: usize = 2_000;
const ORIGIN: Origin<'static> = Origin {
    topic: "metrics",
    partition: 0,
    log_epoch: 0,
};

fn step(mut run: impl FnMut() + 'static) -> Step {
    run(); // warm: decoders learn the schema, the allocator its sizes
    Step {
        records: BATCH,
        run: Box::new(run),
    }
}

fn decoder() -> Decoder {
    Decoder::new(Arc::new(WriterSchemas::load(KIND, None).unwrap()))
}

fn decoded() -> Decoded {
    let payloads = payloads(BATCH, SERIES);
    decoder().decode(&records(&payloads)).unwrap()
}

fn block() -> RecordBatch {
    let payloads = payloads(BATCH, SERIES);
    rows(KIND, &decoded(), &records(&payloads), &ORIGIN).unwrap()
}

fn stream(block: &RecordBatch, buffer: Vec<u8>) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(buffer, &block.schema()).unwrap();
    writer.write(block).unwrap();
    writer.into_inner().unwrap()
}

fn fill(payloads: &[Vec<u8>]) -> Range {
    let (mut filling, now) = (Filling::new(0), Instant::now());
    for record in records(payloads) {
        filling.push(&record, now);
    }
    let id = PartitionId {
        topic: "metrics".into(),
        partition: 0,
    };
    filling.close(&id, 0, payloads.len() as i64)
}

/// What a producer does.
pub fn encode() -> Step {
    let (samples, mut buffer) = (samples(SERIES), Vec::new());
    step(move || {
        for sample in &samples {
            buffer.clear();
            sample.encode_single_object(&mut buffer);
            black_box(&buffer);
        }
    })
}

pub fn take() -> Step {
    let payloads = payloads(BATCH, SERIES);
    step(move || drop(black_box(fill(&payloads))))
}

pub fn decode() -> Step {
    let (range, mut decoder) = (fill(&payloads(BATCH, SERIES)), decoder());
    step(move || drop(black_box(decoder.decode(&range.records()).unwrap())))
}

pub fn rows_of() -> Step {
    let (range, decoded) = (fill(&payloads(BATCH, SERIES)), decoded());
    step(move || drop(black_box(rows(KIND, &decoded, &range.records(), &ORIGIN).unwrap())))
}

pub fn split_one_day() -> Step {
    let block = block();
    step(move || drop(black_box(pieces(PartitionKey::of(KIND), &block).unwrap())))
}

/// Records that cycle through many days: every piece takes its rows from all over the block.
pub fn split_many_days() -> Step {
    use arrow::array::{ArrayRef, TimestampMicrosecondArray};
    const DAY_US: i64 = 86_400_000_000;
    let block = block();
    let days = (0..block.num_rows() as i64).map(|row| super::START_US - row % 400 * DAY_US);
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(days).with_timezone("UTC"));
    let mut columns = block.columns().to_vec();
    columns[block.schema().index_of("time").unwrap()] = times;
    let block = RecordBatch::try_new(block.schema(), columns).unwrap();
    step(move || drop(black_box(pieces(PartitionKey::of(KIND), &block).unwrap())))
}

pub fn ipc() -> Step {
    let block = block();
    let mut buffer = Vec::new();
    step(move || {
        buffer.clear();
        buffer = black_box(stream(&block, std::mem::take(&mut buffer)));
    })
}

pub fn lz4() -> Step {
    let plain = stream(&block(), Vec::new());
    let mut packed = vec![0; lz4_flex::block::get_maximum_output_size(plain.len())];
    step(move || {
        black_box(lz4_flex::block::compress_into(&plain, &mut packed).unwrap());
    })
}

pub fn to_wire() -> Step {
    let (range, mut decoder) = (fill(&payloads(BATCH, SERIES)), decoder());
    let (mut buffer, mut packed) = (Vec::new(), Vec::new());
    step(move || {
        let records = range.records();
        let decoded = decoder.decode(&records).unwrap();
        let block = rows(KIND, &decoded, &records, &ORIGIN).unwrap();
        for piece in pieces(PartitionKey::of(KIND), &block).unwrap() {
            buffer.clear();
            buffer = stream(&piece, std::mem::take(&mut buffer));
            packed.resize(lz4_flex::block::get_maximum_output_size(buffer.len()), 0);
            black_box(lz4_flex::block::compress_into(&buffer, &mut packed).unwrap());
        }
    })
}

/// What a ledger row needs from its range.
pub fn ledger() -> Step {
    let range = fill(&payloads(BATCH, SERIES));
    step(move || {
        black_box((
            range.timestamps_ms(),
            range.last().map(|record| RecordMark::of(&record)),
        ));
    })
}
