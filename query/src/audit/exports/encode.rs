//! Rows as bytes of a file: Parquet, NDJSON or CSV, compressed on the way.
//!
//! Enters: batches. Leaves: bytes, written to a sink. Guarantees: the bytes depend only on the rows and how they are
//! cut into batches: on no clock and no file name. Memory is that of one row group.

use std::io::{self, Write};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, MapArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, Encoding, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;

use super::columns::flat;
use super::spec::{Compression, Format, Spec};

/// A row group is held in memory, encoded, until it is full; smaller ones compress worse.
const ROW_GROUP_ROWS: usize = 131_072;
/// A row group is also full at this size, which events of a few hundred bytes never reach.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// A dictionary that outgrows this is abandoned. The library's default is 1 MiB, up to which every value of a column
/// like addresses was hashed and compared in vain: a quarter of an export's CPU, and files larger by a twentieth
/// (`load-tests/PERFORMANCE.md`).
const DICTIONARY_BYTES_MAX: usize = 64 << 10;
/// Columns whose values hardly repeat: a dictionary would be built and thrown away.
const UNIQUE: [&str; 7] = [
    "event_id",
    "request_id",
    "old_value",
    "new_value",
    "occurred_at",
    "kafka_offset",
    "kafka_timestamp",
];
/// The numeric ones of these, which are close to their neighbours. Only they have statistics: rows are in order of
/// time, so readers can skip by them, while minimum and maximum of unordered strings cost two comparisons per value and
/// skip nothing.
const STEPPING: [&str; 3] = ["occurred_at", "kafka_offset", "kafka_timestamp"];
/// The usual default of Parquet writers: higher levels cost more time than the bytes they save are worth.
const ZSTD_LEVEL: i32 = 1;
const GZIP_LEVEL: u32 = 6;

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Writing the file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Encoding the rows failed.
    #[error(transparent)]
    Arrow(ArrowError),
    /// Encoding the rows failed.
    #[error(transparent)]
    Parquet(ParquetError),
}

impl From<ArrowError> for EncodeError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Io(error),
            error => Self::Arrow(error),
        }
    }
}

impl From<ParquetError> for EncodeError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(error) => match error.downcast::<io::Error>() {
                Ok(error) => Self::Io(*error),
                Err(error) => Self::Parquet(ParquetError::External(error)),
            },
            error => Self::Parquet(error),
        }
    }
}

/// Writes rows to `W`.
pub enum Encoder<W: Write + Send> {
    /// Parquet.
    Parquet(Box<ArrowWriter<W>>),
    /// One JSON object per line.
    Ndjson(Box<arrow::json::LineDelimitedWriter<Packed<W>>>),
    /// Comma-separated values.
    Csv(Box<arrow::csv::Writer<Packed<W>>>, SchemaRef),
}

impl<W: Write + Send> Encoder<W> {
    /// A file in this format with these columns.
    pub fn new(spec: &Spec, schema: SchemaRef, to: W) -> Result<Self, EncodeError> {
        Ok(match spec.format {
            Format::Parquet => Self::Parquet(Box::new(ArrowWriter::try_new(
                to,
                schema,
                Some(properties(spec.compression)?),
            )?)),
            Format::Ndjson => Self::Ndjson(Box::new(arrow::json::LineDelimitedWriter::new(Packed::new(
                spec.compression,
                to,
            )?))),
            Format::Csv => {
                let packed = Packed::new(spec.compression, to)?;
                Self::Csv(
                    Box::new(arrow::csv::WriterBuilder::new().with_header(true).build(packed)),
                    flat(&schema),
                )
            }
        })
    }

    /// Adds rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        match self {
            Self::Parquet(writer) => writer.write(batch)?,
            Self::Ndjson(writer) => writer.write(batch)?,
            Self::Csv(writer, flat) => writer.write(&flattened(batch, flat)?)?,
        }
        Ok(())
    }

    /// Ends the file.
    pub fn finish(self) -> Result<W, EncodeError> {
        match self {
            Self::Parquet(writer) => Ok(writer.into_inner()?),
            Self::Ndjson(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner().finish()?)
            }
            Self::Csv(writer, _) => Ok(writer.into_inner().finish()?),
        }
    }
}

fn properties(compression: Compression) -> Result<WriterProperties, EncodeError> {
    let codec = match compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
        Compression::Gzip => Codec::GZIP(GzipLevel::try_new(GZIP_LEVEL)?),
        Compression::None => Codec::UNCOMPRESSED,
    };
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by("horolog".to_owned())
        .set_compression(codec)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_dictionary_page_size_limit(DICTIONARY_BYTES_MAX)
        .set_statistics_enabled(EnabledStatistics::None);
    for name in UNIQUE {
        builder = builder.set_column_dictionary_enabled(ColumnPath::from(name), false);
    }
    for name in STEPPING {
        builder = builder
            .set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED)
            .set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::Chunk);
    }
    Ok(builder.build())
}

/// The rows with the map as JSON text, for CSV.
fn flattened(batch: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .map(|column| match column.as_any().downcast_ref::<MapArray>() {
            Some(map) => json_texts(map),
            None => Ok(Arc::clone(column)),
        });
    RecordBatch::try_new(Arc::clone(flat), columns.collect::<Result<Vec<_>, _>>()?)
}

fn json_texts(map: &MapArray) -> Result<ArrayRef, ArrowError> {
    let texts = |array: &ArrayRef| array.as_any().downcast_ref::<StringArray>().cloned();
    let (Some(keys), Some(values)) = (texts(map.keys()), texts(map.values())) else {
        return Err(ArrowError::SchemaError(
            "a map whose keys or values are not strings".to_owned(),
        ));
    };
    let object = |row: usize| -> Result<String, ArrowError> {
        let ends = map.value_offsets();
        let entries =
            (ends[row] as usize..ends[row + 1] as usize).map(|entry| (keys.value(entry), values.value(entry)));
        let entries: std::collections::BTreeMap<_, _> = entries.collect();
        serde_json::to_string(&entries).map_err(|error| ArrowError::JsonError(error.to_string()))
    };
    let objects = (0..map.len()).map(object).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StringArray::from(objects)))
}

/// A compressing writer.
pub enum Packed<W: Write> {
    /// Zstandard.
    Zstd(zstd::stream::write::Encoder<'static, W>),
    /// Gzip, without a name or a time in its header.
    Gzip(GzEncoder<W>),
    /// Not compressed.
    Plain(W),
}

impl<W: Write> Packed<W> {
    fn new(compression: Compression, to: W) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(to, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
            Compression::Gzip => Self::Gzip(GzEncoder::new(to, flate2::Compression::new(GZIP_LEVEL))),
            Compression::None => Self::Plain(to),
        })
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Plain(to) => Ok(to),
        }
    }
}

impl<W: Write> Write for Packed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Plain(to) => to.write(bytes),
        }
    }

    /// Does nothing: a flush would end a compressor block, and the CSV writer flushes after each batch.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
