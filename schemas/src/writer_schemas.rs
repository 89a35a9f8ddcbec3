//! The schemas with which the records of a kind may have been written.
//!
//! In: the built-in schemas (the current one and `avro/history/`); a folder of `<id>.avsc` files, where the file stem is
//! the id in Confluent's framing; what a schema registry says of further ids, while the stage runs. Out: for a reference
//! in a payload, the writer's schema, or why it cannot be read. A schema of the folder is also found by its fingerprint.
//! The same schemas must be known when a batch is replayed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::{fs, io};

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use arrow::datatypes::{Field, FieldRef, Schema as ColumnSchema, SchemaRef};
use arrow::error::ArrowError;
use serde_json::Value;

use crate::Kind;
use crate::datum_shape::DatumShape;
use crate::decode::arrow_decoder;
use crate::fingerprints::fingerprints;
use crate::framing::{SchemaReference, split};
use crate::reject::{Fault, Reason};

/// The namespace of our schemas.
const NAMESPACE: &str = "horolog";
/// Superseded schemas: (kind, schema).
const HISTORY: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/history.rs"));

/// Why the schemas cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read the schemas in {path}: {source}")]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's name is not an id.
    #[error("{path}: a schema file must be named <id>.avsc, where <id> is the registry's number")]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// A file is not JSON.
    #[error("{path} is not an avro schema: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        message: String,
    },
    /// A built-in schema cannot be used: a bug.
    #[error("the built-in schema of {kind} cannot be used: {message}")]
    BuiltIn {
        /// The kind's name.
        kind: &'static str,
        /// Why.
        message: String,
    },
}

/// A schema with which records may have been written.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) schema: String,
    pub(crate) shape: DatumShape,
}

/// The writer schemas of a kind. They only become more.
#[derive(Debug)]
pub struct WriterSchemas(RwLock<Arc<Known>>);

/// Those that are known at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) kind: Kind,
    reader: Arc<Schema>,
    /// The columns that records are decoded to, whatever their writer.
    pub(crate) columns: SchemaRef,
    pub(crate) writers: Vec<Arc<Writer>>,
    /// Index of the writer, or why its schema cannot be read as this kind.
    by_reference: HashMap<SchemaReference, Result<usize, String>>,
}

impl WriterSchemas {
    /// The built-in schemas of `kind` and, if given, those of a folder of `<id>.avsc` files. The folder may hold
    /// schemas of other kinds, and such that other parsers take and ours does not: these do not fail the load; records
    /// that reference them are rejected.
    pub fn load(kind: Kind, folder: Option<&Path>) -> Result<Self, SchemaError> {
        let built_in = |message: String| SchemaError::BuiltIn {
            kind: kind.name(),
            message,
        };
        let reader = Schema::parse_str(kind.avro_schema()).map_err(|error| built_in(error.to_string()))?;
        let columns = columns_of(kind.avro_schema(), kind).map_err(|error| built_in(error.to_string()))?;
        let mut known = Known {
            kind,
            reader: Arc::new(reader),
            columns,
            writers: Vec::new(),
            by_reference: HashMap::new(),
        };
        let history = HISTORY
            .iter()
            .filter(|(name, _)| *name == kind.name())
            .map(|(_, json)| *json);
        for json in history.chain([kind.avro_schema()]) {
            let schema = Schema::parse_str(json).map_err(|error| built_in(error.to_string()))?;
            let writer = known.add(&schema, json).map_err(built_in)?;
            for fingerprint in fingerprints(json, &schema).map_err(|error| built_in(error.to_string()))? {
                known.by_reference.insert(fingerprint, Ok(writer));
            }
        }
        if let Some(folder) = folder {
            known.add_folder(folder)?;
        }
        Ok(Self(RwLock::new(Arc::new(known))))
    }

    /// Ids in the payloads (of Confluent's framing) that are not known, those of the most records first.
    pub fn unknown_ids<'a>(&self, payloads: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<u32> {
        let known = self.known();
        let mut records: HashMap<u32, usize> = HashMap::new();
        for payload in payloads {
            if let Ok((reference @ SchemaReference::Id(id), _)) = split(payload)
                && !known.by_reference.contains_key(&reference)
            {
                *records.entry(id).or_default() += 1;
            }
        }
        let mut ids: Vec<u32> = records.keys().copied().collect();
        ids.sort_unstable_by_key(|id| (std::cmp::Reverse(records[id]), *id));
        ids
    }

    /// Takes what a registry says of an id: a schema, or why records of it cannot be read. An id that is known stays as it
    /// is.
    pub fn learn(&self, id: u32, schema: Result<&str, String>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let reference = SchemaReference::Id(id);
        if !known.by_reference.contains_key(&reference) {
            let known = Arc::make_mut(&mut known);
            let writer = schema.and_then(|json| {
                let json = bare(json);
                known.add_by_unqualified_names(&parsed(&json)?.0, &json)
            });
            known.by_reference.insert(reference, writer);
        }
    }

    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    /// The index of the writer that a payload names.
    pub(crate) fn find(&self, reference: SchemaReference) -> Result<usize, Fault> {
        match self.by_reference.get(&reference) {
            Some(Ok(writer)) => Ok(*writer),
            Some(Err(message)) => {
                let detail = format!("{reference} cannot be read as {}: {message}", self.kind.name());
                Err(Fault::new(Reason::IncompatibleSchema, detail))
            }
            None => Err(Fault::new(Reason::UnknownSchema, format!("{reference} is not known"))),
        }
    }

    fn add_folder(&mut self, folder: &Path) -> Result<(), SchemaError> {
        let failed = |source| SchemaError::Read {
            path: folder.to_owned(),
            source,
        };
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "avsc"));
        paths.sort();
        paths.iter().try_for_each(|path| self.add_file(path))
    }

    fn add_file(&mut self, path: &Path) -> Result<(), SchemaError> {
        let id = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .and_then(|stem| stem.parse().ok());
        let id = id.ok_or_else(|| SchemaError::FileName { path: path.to_owned() })?;
        let json = fs::read_to_string(path).map_err(|source| SchemaError::Read {
            path: path.to_owned(),
            source,
        })?;
        let failed = |message| SchemaError::Parse {
            path: path.to_owned(),
            message,
        };
        serde_json::from_str::<Value>(&json).map_err(|error| failed(error.to_string()))?;
        let json = bare(&json);
        let (schema, fingerprints) = match parsed(&json) {
            Ok(known) => known,
            // Other parsers may take it, so records may come of it; nothing but these depends on it.
            Err(message) => {
                tracing::warn!(path = %path.display(), message, "records of this schema will be rejected");
                self.by_reference.insert(SchemaReference::Id(id), Err(message));
                return Ok(());
            }
        };
        let (by_fingerprint, by_id) = match self.by_reference.get(&fingerprints[0]) {
            // These fingerprints do not cover logical types, so a known schema with one of them may use another unit of
            // time. Hamba's does.
            Some(Ok(known)) => (Ok(*known), DatumShape::new(&schema, &self.reader).map(|_| *known)),
            Some(Err(_)) | None => {
                let writer = self.add_by_unqualified_names(&schema, &json);
                (writer.clone(), writer)
            }
        };
        let [specified, apache, hamba] = fingerprints;
        self.by_reference.insert(hamba, by_id.clone());
        for fingerprint in [specified, apache] {
            self.by_reference.insert(fingerprint, by_fingerprint.clone());
        }
        self.by_reference.insert(SchemaReference::Id(id), by_id);
        Ok(())
    }

    /// Adds a writer as it is, or with all names in our namespace: names are matched without their namespaces
    /// ([Avro 1.12, Schema Resolution](https://avro.apache.org/docs/1.12.0/specification/#schema-resolution)), but
    /// apache-avro and arrow-avro compare them whole.
    fn add_by_unqualified_names(&mut self, schema: &Schema, json: &str) -> Result<usize, String> {
        self.add(schema, json).or_else(|error| {
            let json = renamed(json).ok_or_else(|| error.clone())?;
            let schema = Schema::parse_str(&json).map_err(|_| error.clone())?;
            self.add(&schema, &json).map_err(|_| error)
        })
    }

    /// Adds a writer if the kind's current schema can read what it writes.
    fn add(&mut self, schema: &Schema, json: &str) -> Result<usize, String> {
        SchemaCompatibility::can_read(schema, &self.reader).map_err(|error| error.to_string())?;
        let shape = DatumShape::new(schema, &self.reader)?;
        if columns_of(json, self.kind).map_err(|error| error.to_string())? != self.columns {
            return Err("its fields would be decoded to other types of columns".into());
        }
        self.writers.push(Arc::new(Writer {
            schema: json.to_owned(),
            shape,
        }));
        Ok(self.writers.len() - 1)
    }
}

/// A writer's schema without defaults and aliases, which count on the reader's side alone
/// ([Avro 1.12, Schema Resolution](https://avro.apache.org/docs/1.12.0/specification/#schema-resolution)):
/// apache-avro refuses some defaults, and arrow-avro follows a writer's aliases. Fingerprints are of schemas without them.
fn bare(json: &str) -> String {
    let Ok(mut schema) = serde_json::from_str(json) else {
        return json.to_owned(); // the parser says what is wrong
    };
    strip(&mut schema);
    schema.to_string()
}

fn strip(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(strip),
        Value::Object(object) => {
            object.remove("default");
            object.remove("aliases");
            for part in ["type", "items", "values", "fields"] {
                object.get_mut(part).map(strip);
            }
        }
        _ => {}
    }
}

fn parsed(json: &str) -> Result<(Schema, [SchemaReference; 3]), String> {
    let schema = Schema::parse_str(json).map_err(|error| error.to_string())?;
    let fingerprints = fingerprints(json, &schema).map_err(|error| error.to_string())?;
    Ok((schema, fingerprints))
}

/// A schema with its names in the namespace of ours.
fn renamed(json: &str) -> Option<String> {
    let mut schema: Value = serde_json::from_str(json).ok()?;
    unqualify(&mut schema);
    schema.as_object_mut()?.insert("namespace".to_owned(), NAMESPACE.into());
    Some(schema.to_string())
}

/// Takes the namespaces from the names of types, where they are defined and where they are used.
fn unqualify(schema: &mut Value) {
    match schema {
        Value::String(name) => *name = name.rsplit('.').next().unwrap_or_default().to_owned(),
        Value::Array(all) => all.iter_mut().for_each(unqualify),
        Value::Object(object) => {
            object.remove("namespace");
            for part in ["name", "type", "items", "values", "fields"] {
                object.get_mut(part).map(unqualify);
            }
        }
        _ => {}
    }
}

/// The columns that arrow-avro produces for `writer`, without its metadata on where each came from.
fn columns_of(writer: &str, kind: Kind) -> Result<SchemaRef, ArrowError> {
    let columns = arrow_decoder(writer, kind)?.schema();
    let plain = |field: &FieldRef| Field::new(field.name(), field.data_type().clone(), field.is_nullable());
    Ok(Arc::new(ColumnSchema::new(
        columns.fields().iter().map(plain).collect::<Vec<Field>>(),
    )))
}
