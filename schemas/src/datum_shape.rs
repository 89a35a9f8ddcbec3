//! The wire format of a record, compiled from its writer's schema: `datum` walks by it.
//!
//! In: the schemas of a writer and the reader. Out: the shapes of the fields in the order they are written, with what
//! the reader requires of them: which symbols it knows, which bytes must be text. Refuses recursive, very deeply nested
//! and very large schemas, and what arrow-avro would read otherwise than the specification says.

use std::cell::Cell;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, RecordField, ResolvedSchema, UuidSchema};
use apache_avro::schema_compatibility::SchemaCompatibility;

/// More deeply nested schemas are refused; so are recursive ones.
const NESTING_MAX: usize = 16;
/// Schemas of more parts are refused: a named type is written out at each use, so a small text may have any number.
const PARTS_MAX: usize = 10_000;

/// The wire format of a record: the writer's schema, with what the reader requires of it.
#[derive(Debug)]
pub(crate) struct DatumShape {
    pub(crate) fields: Vec<(String, Shape)>,
}

/// The wire format of one value.
#[derive(Debug)]
pub(crate) enum Shape {
    Null,
    /// A null where the reader takes none.
    Unset,
    /// A type of a union that the reader cannot read.
    Foreign,
    Boolean,
    Int,
    Long,
    Fixed(usize),
    Bytes,
    Text,
    /// For each symbol of the writer, whether the reader can read it.
    Enum(Vec<bool>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
}

impl DatumShape {
    /// The shape of what `writer` writes, to be read as `reader`. The error says which part of the schema is not
    /// supported.
    pub(crate) fn new(writer: &Schema, reader: &Schema) -> Result<Self, String> {
        let names = Names {
            writer: ResolvedSchema::try_from(writer).map_err(|error| error.to_string())?,
            reader: ResolvedSchema::try_from(reader).map_err(|error| error.to_string())?,
            parts_left: Cell::new(PARTS_MAX),
        };
        let Schema::Record(record) = writer else {
            return Err("the schema is not a record".into());
        };
        let field = |field: &RecordField| {
            let counterpart = field_named(Some(reader), &field.name);
            let shape = names.shape(&field.schema, counterpart, 1);
            let shape = shape.map_err(|error| format!("field {}: {error}", field.name))?;
            Ok((field.name.clone(), shape))
        };
        Ok(Self {
            fields: record.fields.iter().map(field).collect::<Result<_, String>>()?,
        })
    }
}

/// The named types of both schemas.
struct Names<'s> {
    writer: ResolvedSchema<'s>,
    reader: ResolvedSchema<'s>,
    /// How many more parts the shape may have.
    parts_left: Cell<usize>,
}

impl Names<'_> {
    fn shape(&self, writer: &Schema, reader: Option<&Schema>, depth: usize) -> Result<Shape, String> {
        if depth > NESTING_MAX {
            return Err(format!(
                "the schema is recursive or nested more than {NESTING_MAX} deep"
            ));
        }
        let left = self.parts_left.get().checked_sub(1);
        self.parts_left.set(left.ok_or_else(|| {
            format!("the schema has more than {PARTS_MAX} parts, where named types count at each use")
        })?);
        let reader = match reader {
            Some(Schema::Ref { name }) => self.reader.get_names().get(name).copied(),
            other => other,
        };
        if let (Some(Schema::TimestampMicros), Some(unit)) = (reader, other_time(writer)) {
            return Err(format!("its time is a {unit}, and has to be a timestamp-micros"));
        }
        if reader.is_some_and(|reader| is_no_text(writer, reader)) {
            return Err("its type is a decimal or a UUID in bytes, and has to be a string".into());
        }
        let nested = |writer: &Schema, reader| self.shape(writer, reader, depth + 1);
        Ok(match writer {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int | Schema::Date | Schema::TimeMillis => Shape::Int,
            Schema::Long
            | Schema::TimeMicros
            | Schema::TimestampMillis
            | Schema::TimestampMicros
            | Schema::TimestampNanos
            | Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => Shape::Long,
            Schema::Float => Shape::Fixed(4),
            Schema::Double => Shape::Fixed(8),
            Schema::Bytes if matches!(reader, Some(Schema::String)) => Shape::Text,
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Shape::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Fixed(fixed) | Schema::Duration(fixed) | Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                Shape::Fixed(fixed.size)
            }
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Shape::Bytes,
                InnerDecimalSchema::Fixed(fixed) => Shape::Fixed(fixed.size),
            },
            Schema::Enum(symbols) => {
                let known = |symbol: &String| match reader {
                    Some(Schema::Enum(ours)) => ours.default.is_some() || ours.symbols.contains(symbol),
                    _ => true,
                };
                Shape::Enum(symbols.symbols.iter().map(known).collect())
            }
            Schema::Array(array) => {
                let items = if let Some(Schema::Array(ours)) = reader {
                    Some(&*ours.items)
                } else {
                    None
                };
                Shape::Array(Box::new(nested(&array.items, items)?))
            }
            Schema::Map(map) => {
                let values = if let Some(Schema::Map(ours)) = reader {
                    Some(&*ours.types)
                } else {
                    None
                };
                Shape::Map(Box::new(nested(&map.types, values)?))
            }
            Schema::Union(union) => {
                let branch = |branch: &Schema| match (branch, reader) {
                    (Schema::Null, Some(ours)) if !takes_null(ours) => Ok(Shape::Unset),
                    (Schema::Map(map), Some(Schema::Map(_))) if matches!(&*map.types, Schema::Union(_)) => {
                        // Within a union, arrow-avro reads them without the union's index.
                        Err("it is an optional map of optional values: the values have to be strings".into())
                    }
                    (_, Some(ours)) if is_foreign(branch, ours) => Ok(Shape::Foreign),
                    _ => nested(branch, reader),
                };
                Shape::Union(union.variants().iter().map(branch).collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let field = |field: &RecordField| nested(&field.schema, field_named(reader, &field.name));
                Shape::Record(record.fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            Schema::Ref { name } => {
                let target = self.writer.get_names().get(name).copied();
                nested(target.ok_or_else(|| format!("the type {name} is not defined"))?, reader)?
            }
        })
    }
}

fn takes_null(reader: &Schema) -> bool {
    match reader {
        Schema::Null => true,
        Schema::Union(union) => union.variants().contains(&Schema::Null),
        _ => false,
    }
}

/// Whether the reader cannot read this type of a writer's union; time units and symbols are told by name elsewhere.
/// arrow-avro takes a named type for whatever the reader has.
fn is_foreign(branch: &Schema, reader: &Schema) -> bool {
    match (branch, reader) {
        (_, Schema::Union(_)) | (Schema::Enum(_), Schema::Enum(_)) => false,
        (Schema::Ref { .. }, _) => true,
        _ => is_no_text(branch, reader) || SchemaCompatibility::can_read(branch, reader).is_err(),
    }
}

/// Whether a writer's bytes, which Avro's resolution rules take for a string, are a number or a UUID.
fn is_no_text(writer: &Schema, reader: &Schema) -> bool {
    matches!(reader, Schema::String)
        && matches!(
            writer,
            Schema::BigDecimal | Schema::Decimal(_) | Schema::Uuid(UuidSchema::Bytes)
        )
}

/// The unit of a writer's time field if it is not microseconds in UTC. Avro's resolution rules would take one for the
/// other, as both are `long`.
fn other_time(writer: &Schema) -> Option<&'static str> {
    Some(match writer {
        Schema::Date => "date",
        Schema::TimeMillis => "time-millis",
        Schema::TimeMicros => "time-micros",
        Schema::TimestampMillis => "timestamp-millis",
        Schema::TimestampNanos => "timestamp-nanos",
        Schema::LocalTimestampMillis => "local-timestamp-millis",
        Schema::LocalTimestampMicros => "local-timestamp-micros",
        Schema::LocalTimestampNanos => "local-timestamp-nanos",
        _ => return None,
    })
}

/// The reader's field that the writer's field of this name maps to.
fn field_named<'s>(reader: Option<&'s Schema>, name: &str) -> Option<&'s Schema> {
    let Some(Schema::Record(record)) = reader else {
        return None;
    };
    let field = record
        .fields
        .iter()
        .find(|field| field.name == name || field.aliases.iter().any(|alias| alias == name));
    field.map(|field| &field.schema)
}
