//! Proves that bytes are one datum of a schema before arrow-avro, which trusts its input, sees them.
//!
//! In: a writer's schema, once, and then datums. Out: nothing, or the first flaw with its field and byte. A datum that
//! passes has lengths and counts that fit, indices in range, UTF-8 texts and no byte left over. Allocates nothing for a
//! sound datum and is bounded by its length: a declared length is compared, never reserved; items are counted against
//! one budget, so that zero-byte items cannot spin.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, ResolvedSchema, UuidSchema};

use crate::framing::RECORD_BYTES_MAX;
use crate::reject::{Fault, Reason};

/// Schemas nested deeper are refused; so are recursive ones.
const NESTING_MAX: usize = 16;
/// The most bytes of a variable-length number of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// The wire form of a record, as a writer's schema says it and as far as a reader needs it.
#[derive(Debug)]
pub(crate) struct DatumShape {
    fields: Vec<(String, Shape)>,
}

#[derive(Debug)]
enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Fixed(usize),
    Bytes,
    Text,
    /// By symbol: whether the reader has it.
    Enum(Vec<bool>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<Shape>),
}

impl DatumShape {
    /// The shape of what `writer` writes, to be read as `reader`. The error says what of the schema is not supported.
    pub(crate) fn new(writer: &Schema, reader: &Schema) -> Result<Self, String> {
        let names = Names {
            writer: ResolvedSchema::try_from(writer).map_err(|error| error.to_string())?,
            reader: ResolvedSchema::try_from(reader).map_err(|error| error.to_string())?,
        };
        let Schema::Record(record) = writer else {
            return Err("the schema is not a record".into());
        };
        let field = |field: &apache_avro::schema::RecordField| {
            let counterpart = field_named(Some(reader), &field.name);
            Ok((field.name.clone(), names.shape(&field.schema, counterpart, 1)?))
        };
        Ok(Self {
            fields: record.fields.iter().map(field).collect::<Result<_, String>>()?,
        })
    }

    /// Walks over the datum; an error names the field and the byte.
    pub(crate) fn check(&self, datum: &[u8]) -> Result<(), Fault> {
        let mut walk = Walk {
            rest: datum,
            items_left: RECORD_BYTES_MAX as u64,
        };
        for (name, shape) in &self.fields {
            if let Err(flaw) = walk.pass(shape) {
                return Err(flaw.fault(name, datum.len() - walk.rest.len()));
            }
        }
        if walk.rest.is_empty() {
            return Ok(());
        }
        let detail = format!("{} bytes follow the last field", walk.rest.len());
        Err(Fault::new(Reason::TrailingBytes, detail))
    }
}

/// The named types of both schemas.
struct Names<'s> {
    writer: ResolvedSchema<'s>,
    reader: ResolvedSchema<'s>,
}

impl Names<'_> {
    fn shape(&self, writer: &Schema, reader: Option<&Schema>, depth: usize) -> Result<Shape, String> {
        if depth > NESTING_MAX {
            return Err(format!(
                "the schema is recursive or nested more than {NESTING_MAX} deep"
            ));
        }
        let reader = match reader {
            Some(Schema::Ref { name }) => self.reader.get_names().get(name).copied(),
            other => other,
        };
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
                let branch = |branch| nested(branch, reader);
                Shape::Union(union.variants().iter().map(branch).collect::<Result<_, _>>()?)
            }
            Schema::Record(record) => {
                let field =
                    |field: &apache_avro::schema::RecordField| nested(&field.schema, field_named(reader, &field.name));
                Shape::Record(record.fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            Schema::Ref { name } => {
                let target = self.writer.get_names().get(name).copied();
                nested(target.ok_or_else(|| format!("the type {name} is not defined"))?, reader)?
            }
        })
    }
}

/// The field of the reader that takes the writer's field of this name.
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

/// What is wrong, before the words for it are needed.
enum Flaw {
    Truncated { needed: u64, left: usize },
    Other(Reason, &'static str),
}

impl Flaw {
    #[cold]
    fn fault(self, field: &str, at: usize) -> Fault {
        match self {
            Self::Truncated { needed, left } => {
                let detail = format!("field {field}, byte {at}: needs {needed} more bytes, {left} are left");
                Fault::new(Reason::Truncated, detail)
            }
            Self::Other(reason, words) => Fault::new(reason, format!("field {field}, byte {at}: {words}")),
        }
    }
}

/// The bytes and the items that are left.
struct Walk<'a> {
    rest: &'a [u8],
    items_left: u64,
}

impl<'a> Walk<'a> {
    fn pass(&mut self, shape: &Shape) -> Result<(), Flaw> {
        match shape {
            Shape::Null => Ok(()),
            Shape::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err(Flaw::Other(Reason::MalformedNumber, "a boolean is neither 0 nor 1")),
            },
            Shape::Int => match u32::try_from(self.varint()?) {
                Ok(_) => Ok(()),
                Err(_) => Err(Flaw::Other(Reason::MalformedNumber, "an int has more than 32 bits")),
            },
            Shape::Long => self.varint().map(drop),
            Shape::Fixed(length) => self.take(*length as u64).map(drop),
            Shape::Bytes => self.bytes().map(drop),
            Shape::Text => self.text(),
            Shape::Enum(known) => match known.get(self.index()?) {
                Some(true) => Ok(()),
                Some(false) => Err(Flaw::Other(
                    Reason::UnknownSymbol,
                    "the writer's symbol is not one of ours",
                )),
                None => Err(Flaw::Other(
                    Reason::UnknownSymbol,
                    "the enum has no symbol of that index",
                )),
            },
            Shape::Union(branches) => match branches.get(self.index()?) {
                Some(branch) => self.pass(branch),
                None => Err(Flaw::Other(
                    Reason::UnknownSymbol,
                    "the union has no branch of that index",
                )),
            },
            Shape::Record(fields) => fields.iter().try_for_each(|field| self.pass(field)),
            Shape::Array(item) => self.blocks(|walk| walk.pass(item)),
            Shape::Map(value) => self.blocks(|walk| {
                walk.text()?;
                walk.pass(value)
            }),
        }
    }

    /// Blocks of items until an empty one. A negative count is followed by the block's size, which must be true:
    /// readers that skip a field go by the size, others by the items.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            let size = if count < 0 { Some(self.length()?) } else { None };
            let before = self.rest.len();
            self.items_left = match self.items_left.checked_sub(count.unsigned_abs()) {
                Some(left) => left,
                None => {
                    return Err(Flaw::Other(
                        Reason::MalformedLength,
                        "more items are declared than a record may have",
                    ));
                }
            };
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
            if size.is_some_and(|size| size != (before - self.rest.len()) as u64) {
                return Err(Flaw::Other(
                    Reason::MalformedLength,
                    "a block's items take more or fewer bytes than it declares",
                ));
            }
        }
    }

    fn text(&mut self) -> Result<(), Flaw> {
        let text = self.bytes()?;
        if text.is_ascii() || std::str::from_utf8(text).is_ok() {
            return Ok(());
        }
        Err(Flaw::Other(Reason::NotUtf8, "the text before it is not UTF-8"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], Flaw> {
        let length = self.length()?;
        self.take(length)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Flaw> {
        let split = usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length));
        let Some((taken, rest)) = split else {
            return Err(Flaw::Truncated {
                needed: length,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn length(&mut self) -> Result<u64, Flaw> {
        let length = self.long()?;
        u64::try_from(length).map_err(|_| Flaw::Other(Reason::MalformedLength, "a length is negative"))
    }

    /// An index of an enum or union; one that is out of every range becomes `usize::MAX`.
    fn index(&mut self) -> Result<usize, Flaw> {
        Ok(usize::try_from(self.long()?).unwrap_or(usize::MAX))
    }

    fn long(&mut self) -> Result<i64, Flaw> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Flaw> {
        // Nearly all lengths and indices take one byte.
        if let [byte @ 0..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7F) << (7 * index);
            if *byte < 0x80 {
                // The tenth byte has room for one bit.
                if index + 1 == VARINT_BYTES_MAX && *byte > 1 {
                    break;
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        if self.rest.len() < VARINT_BYTES_MAX {
            return Err(Flaw::Truncated { needed: 1, left: 0 });
        }
        Err(Flaw::Other(
            Reason::MalformedNumber,
            "a variable-length number has more than 64 bits",
        ))
    }
}
