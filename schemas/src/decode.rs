//! Decodes a batch of Kafka records to Arrow columns; a bad record never costs a good one.
//!
//! In: raw records. Out: the valid ones as columns, named and typed as the fields of the kind's current schema, in
//! input order, and all others with a reason: rows + rejected = records. A pure function of the records, the known
//! schemas and the rules. Each datum is verified before arrow-avro sees it; if arrow-avro still refuses one, its
//! decoder is discarded and the batch is decoded record by record to find the bad ones.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{DataType, Int32Type};
use arrow::error::ArrowError;
use arrow_avro::codec::Tz;
use arrow_avro::reader::{Decoder as ArrowDecoder, DecoderMode, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};

use crate::dictionary::dictionary;
use crate::framing::{SchemaReference, split};
use crate::reject::{Fault, Reason, Rejected};
use crate::validate::validate;
use crate::writer_schemas::Known;
use crate::{Kind, RawRecord, WriterSchemas};

/// Maximum payload bytes in one batch: Arrow's strings have 32-bit offsets.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// Why a batch could not be decoded. Never caused by a single record.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The batch is too large for one block of columns.
    #[error("the batch has {bytes} bytes of payload, the limit is {BATCH_BYTES_MAX}")]
    BatchTooLarge {
        /// Payload bytes of the batch.
        bytes: usize,
    },
    /// The columns could not be combined.
    #[error("the decoded columns do not fit together: {0}")]
    Columns(#[from] ArrowError),
}

/// The result of decoding a batch.
#[derive(Debug)]
pub struct Decoded {
    /// The valid records, in input order, with one column per field.
    pub columns: RecordBatch,
    /// For each row, the index of its record in the batch.
    pub positions: Vec<u32>,
    /// The other records, in input order.
    pub rejected: Vec<Rejected>,
}

/// Decodes batches of one kind. Keeps arrow-avro's decoders between batches; holds no other state.
#[derive(Debug)]
pub struct Decoder {
    schemas: Arc<WriterSchemas>,
    /// Those of them that were known when the batch began.
    known: Arc<Known>,
    /// One per writer; created when first needed.
    decoders: Vec<Option<ArrowDecoder>>,
}

/// The datums of one writer that passed the check.
struct Group<'a> {
    writer: usize,
    positions: Vec<u32>,
    datums: Vec<&'a [u8]>,
}

impl Decoder {
    /// A decoder for records that were written with these schemas.
    pub fn new(schemas: Arc<WriterSchemas>) -> Self {
        let known = schemas.known();
        Self {
            schemas,
            known,
            decoders: Vec::new(),
        }
    }

    /// Decodes and validates a batch. Fails only if the batch as a whole cannot be held, never because of a single
    /// record.
    pub fn decode(&mut self, records: &[RawRecord<'_>]) -> Result<Decoded, DecodeError> {
        let bytes = records
            .iter()
            .filter_map(|record| record.payload)
            .map(<[u8]>::len)
            .sum();
        if bytes > BATCH_BYTES_MAX {
            return Err(DecodeError::BatchTooLarge { bytes });
        }
        self.known = self.schemas.known();
        self.decoders.resize_with(self.known.writers.len(), || None);
        let mut rejected = Vec::new();
        let groups = self.sort_out(records, &mut rejected);
        let mut parts = Vec::with_capacity(groups.len());
        for group in groups {
            parts.push(self.decode_group(group, &mut rejected)?);
        }
        let (columns, positions) = self.merge(parts)?;
        let (columns, positions) = self.keep_valid(records, columns, positions, &mut rejected)?;
        rejected.sort_unstable_by_key(|rejected| rejected.position);
        assert_eq!(
            positions.len() + rejected.len(),
            records.len(),
            "each record is a row or rejected"
        );
        Ok(Decoded {
            columns,
            positions,
            rejected,
        })
    }

    /// Groups the sound datums by writer and rejects the rest.
    fn sort_out<'a>(&self, records: &[RawRecord<'a>], rejected: &mut Vec<Rejected>) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'a>> = Vec::new();
        // Consecutive records usually have the same schema: cache the last reference and its group.
        let mut last: Option<(SchemaReference, usize)> = None;
        for (position, record) in (0u32..).zip(records) {
            let sorted = split(record.payload).and_then(|(reference, datum)| {
                let group = match last {
                    Some((same, group)) if same == reference => group,
                    _ => {
                        let writer = self.known.find(reference)?;
                        let group = groups
                            .iter()
                            .position(|group| group.writer == writer)
                            .unwrap_or(groups.len());
                        if group == groups.len() {
                            groups.push(Group {
                                writer,
                                positions: Vec::new(),
                                datums: Vec::new(),
                            });
                        }
                        last = Some((reference, group));
                        group
                    }
                };
                let group = &mut groups[group];
                self.known.writers[group.writer].shape.check(datum)?;
                group.positions.push(position);
                group.datums.push(datum);
                Ok(())
            });
            if let Err(fault) = sorted {
                rejected.push(fault.of(position));
            }
        }
        groups
    }

    /// The columns of one writer's datums, and the positions of their rows.
    fn decode_group(
        &mut self,
        mut group: Group<'_>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        if let Ok(columns) = self.decode_all(group.writer, &group.datums) {
            return Ok((columns, group.positions));
        }
        let mut sound = Vec::with_capacity(group.datums.len());
        for (datum, position) in group.datums.iter().zip(&group.positions) {
            let refused = self.decode_all(group.writer, &[datum]).err();
            sound.push(refused.is_none());
            if let Some(error) = refused {
                rejected.push(Fault::new(Reason::Undecodable, error.to_string()).of(*position));
            }
        }
        let mut keep = sound.iter().copied();
        group.datums.retain(|_| keep.next() == Some(true));
        let mut keep = sound.iter().copied();
        group.positions.retain(|_| keep.next() == Some(true));
        Ok((self.decode_all(group.writer, &group.datums)?, group.positions))
    }

    /// Decodes the datums in one go. After an error the decoder's columns have unequal lengths, so it is discarded.
    fn decode_all(&mut self, writer: usize, datums: &[&[u8]]) -> Result<RecordBatch, ArrowError> {
        let mut decoder = match self.decoders[writer].take() {
            Some(decoder) => decoder,
            None => arrow_decoder(&self.known.writers[writer].schema, self.known.kind)?,
        };
        for datum in datums {
            let consumed = decoder.decode(datum)?;
            if consumed != datum.len() {
                let message = format!("{consumed} of {} bytes were read", datum.len());
                return Err(ArrowError::AvroError(message));
            }
        }
        let schema = Arc::clone(&self.known.columns);
        let columns = match decoder.flush()? {
            Some(decoded) => RecordBatch::try_new(schema, decoded.columns().to_vec())?,
            None => RecordBatch::new_empty(schema),
        };
        self.decoders[writer] = Some(decoder);
        Ok(columns)
    }

    /// Restores the input order of the rows of all writers.
    fn merge(&self, mut parts: Vec<(RecordBatch, Vec<u32>)>) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        if parts.len() > 1 {
            parts.retain(|(columns, _)| columns.num_rows() > 0);
        }
        if parts.len() < 2 {
            return match parts.pop() {
                Some(only) => Ok(only),
                None => Ok((RecordBatch::new_empty(Arc::clone(&self.known.columns)), Vec::new())),
            };
        }
        let mut order: Vec<(u32, (usize, usize))> = Vec::new();
        for (part, (_, positions)) in parts.iter().enumerate() {
            order.extend(
                positions
                    .iter()
                    .enumerate()
                    .map(|(row, position)| (*position, (part, row))),
            );
        }
        order.sort_unstable();
        let (positions, rows): (Vec<u32>, Vec<(usize, usize)>) = order.into_iter().unzip();
        let batches: Vec<&RecordBatch> = parts.iter().map(|(columns, _)| columns).collect();
        Ok((
            with_symbols_once(&interleave_record_batch(&batches, &rows)?)?,
            positions,
        ))
    }

    /// Applies the validation rules.
    fn keep_valid(
        &self,
        records: &[RawRecord<'_>],
        columns: RecordBatch,
        mut positions: Vec<u32>,
        rejected: &mut Vec<Rejected>,
    ) -> Result<(RecordBatch, Vec<u32>), ArrowError> {
        let timestamps: Vec<i64> = positions
            .iter()
            .map(|&position| records[position as usize].timestamp_ms)
            .collect();
        let faults = validate(self.known.kind, &columns, &timestamps)?;
        if faults.is_empty() {
            return Ok((columns, positions));
        }
        let mut valid = vec![true; positions.len()];
        for (row, fault) in faults {
            valid[row] = false;
            rejected.push(fault.of(positions[row]));
        }
        let columns = filter_record_batch(&columns, &BooleanArray::from(valid.clone()))?;
        let mut keep = valid.into_iter();
        positions.retain(|_| keep.next() == Some(true));
        Ok((columns, positions))
    }
}

/// The same rows, where each enum has its symbols once: interleaving repeats those of each part, and ClickHouse refuses a
/// dictionary with a value twice.
fn with_symbols_once(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let once = |column: &ArrayRef| match column.as_dictionary_opt::<Int32Type>() {
        Some(symbols) => {
            let symbols = cast(symbols, &DataType::Utf8)?;
            Ok(Arc::new(dictionary(symbols.as_string())?) as ArrayRef)
        }
        None => Ok(Arc::clone(column)),
    };
    let columns = rows.columns().iter().map(once).collect::<Result<_, ArrowError>>()?;
    RecordBatch::try_new(rows.schema(), columns)
}

/// arrow-avro's decoder for bare datums, written with `writer` and read as the kind's current schema.
pub(crate) fn arrow_decoder(writer: &str, kind: Kind) -> Result<ArrowDecoder, ArrowError> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(Fingerprint::Id(0), AvroSchema::new(writer.to_owned()))?;
    ReaderBuilder::new()
        .with_decoder_mode(DecoderMode::UnframedDatum)
        .with_batch_size(usize::MAX)
        .with_tz(Tz::Utc)
        .with_writer_schema_store(store)
        .with_reader_schema(AvroSchema::new(kind.avro_schema().to_owned()))
        .build_decoder()
}
