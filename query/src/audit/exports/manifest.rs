//! The manifest: what an export contains, what it was made of, and the sums to check that with.
//!
//! Enters: a job whose months are all written. Leaves: `manifest.json`, `manifest.json.sha256` (as `sha256sum --check`
//! reads it), and `manifest.json.sig` if a key is configured. Guarantees: it is written last, so a folder with a
//! manifest is complete; the digest of the manifest covers every byte of the export, because it names each file by its
//! SHA-256.
//!
//! What it proves, and what it cannot, is in [`super::verify`].

use std::collections::BTreeMap;
use std::io;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use horolog_schemas::digest::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::columns;
use super::completeness::Completeness;
use super::job::{FileEntry, Job, PartitionRows};
use super::plan::Count;
use super::shelf::Shelf;
use super::signature::Signer;
use super::snapshot::Snapshot;
use super::spec::{Compression, Format};
use crate::api::Instant;

/// File name of the manifest.
pub const NAME: &str = "manifest.json";
/// File name of its SHA-256.
pub const DIGEST_NAME: &str = "manifest.json.sha256";
/// File name of its signature.
pub const SIGNATURE_NAME: &str = "manifest.json.sig";
/// Raised when a reader of the previous version would misread it.
pub const VERSION: u32 = 1;

/// The contents of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub format_version: u32,
    /// Id of the export.
    pub export_id: Uuid,
    /// Tenant of the events.
    pub tenant_id: String,
    /// Filter of the events: parameters of the search and their values. `from` is inclusive, `to` exclusive.
    pub filter: BTreeMap<String, String>,
    /// The teams to whose events the export is limited, if its requester could see only some teams.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
    /// Format of the rows.
    pub format: Format,
    /// Compression of the files.
    pub compression: Compression,
    /// Who requested the export.
    pub requested_by: String,
    /// Id of the request in the logs.
    pub request_id: String,
    /// Time of the request, RFC 3339.
    pub requested_at: String,
    /// When the last file was finished, RFC 3339.
    pub finished_at: String,
    /// Masked columns by name, and how they are masked.
    pub masked: BTreeMap<String, String>,
    /// The columns, in order.
    pub schema: Vec<Column>,
    /// Columns by which the rows of all files are sorted, ascending.
    pub order: Vec<String>,
    /// Rows of all files.
    pub rows: u64,
    /// Later copies of events that were read and left out.
    pub repeats: u64,
    /// Of these, copies that say something else than the first; `months` names their events. Earlier releases did not
    /// compare them.
    #[serde(default)]
    pub differing: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files, in order.
    pub files: Vec<FileEntry>,
    /// By month: the rows that the store counted in advance, and those written.
    pub months: Vec<Month>,
    /// Through when the span is complete, what of it may be lost, and what was rejected, according to the ledger below.
    pub completeness: Completeness,
    /// The ledger: which records the export was made of, up to which offsets, and what the ledger says of them.
    pub ledger: Snapshot,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type.
    pub r#type: String,
}

/// The rows of a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Month {
    /// Month, such as `202601`.
    pub month: u32,
    /// Rows that the store counted, by partition; copies of events included.
    pub counted: Vec<Count>,
    /// Rows written and copies left out, by partition; the offsets are those of rows written.
    pub written: Vec<PartitionRows>,
}

/// A manifest that was written.
#[derive(Debug)]
pub struct Written {
    /// Its SHA-256.
    pub digest: String,
    /// Time of writing, milliseconds since 1970.
    pub finished_at: i64,
}

impl Manifest {
    /// For a job whose months are all written.
    pub fn of(job: &Job, finished_at: i64) -> Option<Self> {
        let (months, schema) = (months(job), job.schema().ok()?);
        let [repeats, differing] = job.repeats();
        let ledger = job.snapshot.clone()?;
        Some(Self {
            format_version: VERSION,
            export_id: job.id,
            tenant_id: job.spec.tenant_id.clone(),
            filter: job.spec.filter.clone(),
            teams: job.teams.clone(),
            format: job.spec.format,
            compression: job.spec.compression,
            requested_by: job.requested_by.clone(),
            request_id: job.request_id.clone(),
            requested_at: Instant::from_millis(job.requested_at).to_rfc3339(),
            finished_at: Instant::from_millis(finished_at).to_rfc3339(),
            masked: job.masked.clone(),
            schema: described(&schema),
            order: [
                "occurred_at",
                "event_id",
                "log_epoch",
                "kafka_partition",
                "kafka_offset",
            ]
            .map(str::to_owned)
            .into(),
            rows: job.rows(),
            repeats,
            differing,
            bytes: job.bytes(),
            files: job.files.clone(),
            months,
            completeness: Completeness::of(&job.spec.filter, &ledger),
            ledger,
        })
    }
}

/// The columns that a manifest names, which may be fewer than this program has; `None` if one of them is unknown here
/// or has another type.
pub fn known(named: &[Column]) -> Option<SchemaRef> {
    let schema = columns::of(named.iter().map(|column| column.name.as_str()))?;
    (described(&schema) == named).then_some(schema)
}

fn described(schema: &Schema) -> Vec<Column> {
    let described = |field: &std::sync::Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        r#type: match field.data_type() {
            DataType::Map(..) => "Map(Utf8, Utf8)".to_owned(),
            other => other.to_string(),
        },
    };
    schema.fields().iter().map(described).collect()
}

fn months(job: &Job) -> Vec<Month> {
    let mut months: BTreeMap<u32, Month> = BTreeMap::new();
    let of = |months: &mut BTreeMap<u32, Month>, month: u32, count: Option<Count>, rows: &[PartitionRows]| {
        let entry = months.entry(month).or_insert_with(|| Month {
            month,
            counted: Vec::new(),
            written: Vec::new(),
        });
        entry.counted.extend(count);
        rows.iter().for_each(|rows| add(&mut entry.written, rows));
    };
    for count in job.plan.iter().flatten() {
        of(&mut months, count.month, Some(*count), &[]);
    }
    for file in &job.files {
        of(&mut months, file.month, None, &file.partitions);
    }
    for (&month, rest) in &job.months_done {
        of(&mut months, month, None, rest);
    }
    months.into_values().collect()
}

/// Adds the rows of a file to those of its month.
pub fn add(sums: &mut Vec<PartitionRows>, rows: &PartitionRows) {
    let key = |rows: &PartitionRows| (rows.log_epoch, rows.partition);
    match sums.binary_search_by_key(&key(rows), key) {
        Err(at) => sums.insert(at, rows.clone()),
        Ok(at) => {
            let sum = &mut sums[at];
            if rows.rows > 0 {
                let first = if sum.rows > 0 { sum.first_offset } else { i64::MAX };
                let last = if sum.rows > 0 { sum.last_offset } else { i64::MIN };
                (sum.first_offset, sum.last_offset) = (first.min(rows.first_offset), last.max(rows.last_offset));
            }
            sum.rows += rows.rows;
            sum.repeats += rows.repeats;
            sum.differing += rows.differing;
            rows.differing_events
                .iter()
                .for_each(|&event| sum.name_differing(event));
        }
    }
}

/// The rows written, without those left out.
pub fn written(all: &[PartitionRows]) -> Vec<PartitionRows> {
    let written = all.iter().filter(|rows| rows.rows > 0).cloned();
    let alone = |rows| PartitionRows {
        repeats: 0,
        differing: 0,
        differing_events: Vec::new(),
        ..rows
    };
    written.map(alone).collect()
}

/// Writes it beside the files. After a crash between the manifest and the job's state it is written again, with a later
/// `finished_at`; nobody has seen the first one.
pub async fn write(shelf: &Shelf, job: &Job, signer: Option<&Signer>, finished_at: i64) -> io::Result<Written> {
    let unplanned = || io::Error::other("the export has no snapshot, or columns of another release");
    let manifest = Manifest::of(job, finished_at).ok_or_else(unplanned)?;
    let mut bytes = serde_json::to_vec_pretty(&manifest).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let digest = hex(&Sha256::digest(&bytes));
    if let Some(signer) = signer {
        shelf.add(job, SIGNATURE_NAME, signer.sign(&bytes).into()).await?;
    }
    let line = format!("{digest}  {NAME}\n");
    shelf.add(job, DIGEST_NAME, line.into_bytes()).await?;
    shelf.add(job, NAME, bytes).await?;
    Ok(Written { digest, finished_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_may_have_fewer_columns_than_this_program_and_none_that_it_does_not_know() {
        let mut named = described(&columns::of(columns::names().iter().map(String::as_str)).unwrap());
        assert_eq!(known(&named).unwrap().fields().len(), named.len());
        named.remove(3);
        assert!(known(&named).unwrap().field_with_name("user_id").is_err());
        named[0].r#type = "Int64".to_owned();
        assert!(known(&named).is_none());
        named[0] = Column {
            name: "tomorrow".to_owned(),
            r#type: "Utf8".to_owned(),
        };
        assert!(known(&named).is_none());
    }
}
