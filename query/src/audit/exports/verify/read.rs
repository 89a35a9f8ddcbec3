//! Reads a file of an export back as batches.
//!
//! Enters: a file of any format. Leaves: its rows, with the columns that the manifest names. CSV and NDJSON are read
//! with that schema, so a value that does not have the type of its column is an error.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use flate2::read::MultiGzDecoder;
use horolog_schemas::RECORD_BYTES_MAX;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::audit::exports::columns::flat;
use crate::audit::exports::manifest::Manifest;
use crate::audit::exports::spec::{Compression, Format};

/// Rows per batch; each may be a megabyte in one column.
const BATCH_ROWS: usize = 256;
/// A byte of metadata takes at most this many in the JSON text of a CSV file: `\u0001`.
const ESCAPED_BYTES_MAX: usize = 6;
/// The offsets of a string column are 32 bits.
const _: () = assert!(BATCH_ROWS * RECORD_BYTES_MAX * ESCAPED_BYTES_MAX <= i32::MAX as usize);

/// Passes each batch of a file to `take`.
pub fn batches(
    path: &Path,
    manifest: &Manifest,
    schema: &SchemaRef,
    mut take: impl FnMut(RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let file = File::open(path)?;
    match manifest.format {
        Format::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
            anyhow::ensure!(
                same_columns(builder.schema(), schema),
                "its columns are not those of the manifest"
            );
            builder
                .with_batch_size(BATCH_ROWS)
                .build()?
                .try_for_each(|batch| take(batch?))
        }
        Format::Ndjson => {
            let reader = arrow::json::ReaderBuilder::new(Arc::clone(schema))
                .with_strict_mode(true)
                .with_batch_size(BATCH_ROWS);
            reader
                .build(BufReader::with_capacity(1 << 20, unpacked(file, manifest.compression)?))?
                .try_for_each(|batch| take(batch?))
        }
        Format::Csv => {
            let reader = arrow::csv::ReaderBuilder::new(flat(schema))
                .with_header(true)
                .with_batch_size(BATCH_ROWS);
            // An empty field is an empty string, not null.
            let reader = reader.with_null_regex(never()?);
            reader
                .build(unpacked(file, manifest.compression)?)?
                .try_for_each(|batch| take(batch?))
        }
    }
}

/// Compares names and types, but not the names of map entries, which depend on the format.
fn same_columns(read: &Schema, wanted: &Schema) -> bool {
    let same = |(read, wanted): (&Arc<Field>, &Arc<Field>)| {
        let maps = [read, wanted].map(|field| matches!(field.data_type(), DataType::Map(..)));
        read.name() == wanted.name() && (maps == [true, true] || read.data_type() == wanted.data_type())
    };
    read.fields().len() == wanted.fields().len() && read.fields().iter().zip(wanted.fields()).all(same)
}

fn never() -> Result<regex::Regex, regex::Error> {
    regex::Regex::new("[a&&b]")
}

fn unpacked(file: File, compression: Compression) -> std::io::Result<Box<dyn Read>> {
    Ok(match compression {
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file)?),
        Compression::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        Compression::None => Box::new(file),
    })
}
