//! Verifies that bytes are exactly one datum of a schema before arrow-avro, which trusts its input, sees them.
//!
//! In: the shape of a writer's records, and datums. Out: nothing, or the first flaw with its field and byte. In a datum
//! that passes, lengths and counts fit, indices are in range, texts are UTF-8 and no byte is left over. Allocates
//! nothing for a sound datum, and its work is bounded by the datum's length: declared lengths are compared, never
//! reserved, and items count against one budget, so that zero-byte items cannot cause endless loops.

use crate::datum_shape::{DatumShape, Shape};
use crate::framing::RECORD_BYTES_MAX;
use crate::reject::{Fault, Reason};

/// The maximum length of a 64-bit varint.
const VARINT_BYTES_MAX: usize = 10;

impl DatumShape {
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

/// What is wrong; formatted only when it is reported.
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

/// The bytes that are left, and the budget of items.
struct Walk<'a> {
    rest: &'a [u8],
    items_left: u64,
}

impl<'a> Walk<'a> {
    fn pass(&mut self, shape: &Shape) -> Result<(), Flaw> {
        match shape {
            Shape::Null => Ok(()),
            Shape::Unset => Err(Flaw::Other(
                Reason::Undecodable,
                "it is null, which it cannot be here: write a value, for texts the empty one",
            )),
            Shape::Foreign => Err(Flaw::Other(
                Reason::Undecodable,
                "its value is of a type of the union that cannot be read here: write one of the other types",
            )),
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

    /// Blocks of items, up to an empty block. A negative count is followed by the block's size, which must be correct:
    /// readers that skip the field go by the size, others by the items.
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

    /// The index of an enum symbol or union branch; `usize::MAX` if it fits no range.
    fn index(&mut self) -> Result<usize, Flaw> {
        Ok(usize::try_from(self.long()?).unwrap_or(usize::MAX))
    }

    fn long(&mut self) -> Result<i64, Flaw> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Flaw> {
        // Almost all lengths and indices take one byte.
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
                // Only one bit of the tenth byte is left.
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

#[cfg(test)]
mod tests {
    use apache_avro::Schema;
    use arrow_avro::reader::{Decoder, DecoderMode, ReaderBuilder};
    use arrow_avro::schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore};
    use proptest::prelude::*;

    use super::*;

    /// Every supported shape, as a schema of a registry might have it.
    const EXOTIC: &str = r#"{"type": "record", "name": "Exotic", "fields": [
        {"name": "flag", "type": "boolean"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "maybe", "type": ["null", "string"]},
        {"name": "either", "type": ["long", "string", {"type": "fixed", "name": "Hash", "size": 4}]},
        {"name": "hash", "type": "Hash"},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "nothings", "type": {"type": "array", "items": "null"}},
        {"name": "points", "type": {"type": "array", "items": {"type": "record", "name": "Point", "fields": [
            {"name": "x", "type": "float"}, {"name": "of", "type": {"type": "map", "values": "bytes"}}]}}},
        {"name": "suit", "type": {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}}
    ]}"#;
    /// The same record for a reader that skips all but the last field.
    const LAST_ONLY: &str = r#"{"type": "record", "name": "Exotic", "fields": [
        {"name": "suit", "type": {"type": "enum", "name": "Suit", "symbols": ["HEARTS", "SPADES"]}}]}"#;

    /// The same record for a reader of everything that arrow-avro can put in columns, which excludes arrays of nulls.
    fn most() -> String {
        let mut schema: serde_json::Value = serde_json::from_str(EXOTIC).unwrap();
        schema["fields"]
            .as_array_mut()
            .unwrap()
            .retain(|field| field["name"] != "nothings" && field["name"] != "price");
        schema.to_string()
    }

    fn shape(writer: &str, reader: &str) -> DatumShape {
        DatumShape::new(&Schema::parse_str(writer).unwrap(), &Schema::parse_str(reader).unwrap()).unwrap()
    }

    fn arrow_avro(writer: &str, reader: &str) -> Decoder {
        let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
        store
            .set(Fingerprint::Id(0), AvroSchema::new(writer.to_owned()))
            .unwrap();
        let builder = ReaderBuilder::new().with_decoder_mode(DecoderMode::UnframedDatum);
        let builder = builder.with_writer_schema_store(store);
        builder
            .with_reader_schema(AvroSchema::new(reader.to_owned()))
            .build_decoder()
            .unwrap()
    }

    /// A sound datum: true, day 1, "é", 7, four bytes, four more, 1.00, two nulls, one point, spades.
    fn sound() -> Vec<u8> {
        let mut datum = vec![1, 2, 2, 4, 0xC3, 0xA9, 0, 14, 1, 2, 3, 4, 2, 100, 4, 0];
        datum.extend([2, 0, 0, 128, 63, 2, 2, b'k', 2, 0xFF, 0, 0, 2]);
        datum
    }

    #[test]
    fn a_sound_datum_of_every_shape_passes() {
        assert_eq!(shape(EXOTIC, EXOTIC).check(&sound()), Ok(()));
        assert_eq!(shape(EXOTIC, LAST_ONLY).check(&sound()), Ok(()));
    }

    #[test]
    fn a_flaw_is_named_with_its_field_and_byte() {
        let mut datum = sound();
        datum[4] = 0xFF;
        let fault = shape(EXOTIC, EXOTIC).check(&datum).unwrap_err();
        assert_eq!(
            fault,
            Fault::new(Reason::NotUtf8, "field maybe, byte 6: the text before it is not UTF-8")
        );
        let fault = shape(EXOTIC, EXOTIC).check(&sound()[..11]).unwrap_err();
        let detail = "field hash, byte 8: needs 4 more bytes, 3 are left";
        assert_eq!(fault, Fault::new(Reason::Truncated, detail));
    }

    /// Items of zero bytes, of which a few bytes can declare any number, count against the budget of the whole record.
    #[test]
    fn items_that_take_no_bytes_cannot_spin() {
        let nested = r#"{"type": "record", "name": "N", "fields": [
            {"name": "n", "type": {"type": "array", "items": {"type": "array", "items": "null"}}}]}"#;
        let million = [0x80, 0x89, 0x7A, 0];
        let datum = [&[6][..], &million, &million, &million, &[0]].concat();
        assert_eq!(
            shape(nested, nested).check(&datum).unwrap_err().reason,
            Reason::MalformedLength
        );
        let datum = [&[2][..], &million, &[0]].concat();
        assert_eq!(shape(nested, nested).check(&datum), Ok(()));
    }

    #[test]
    fn ints_have_32_bits_and_numbers_64() {
        let int = r#"{"type": "record", "name": "N", "fields": [{"name": "n", "type": "int"}]}"#;
        assert_eq!(shape(int, int).check(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Ok(()));
        let over = shape(int, int).check(&[0xFF, 0xFF, 0xFF, 0xFF, 0x1F]).unwrap_err();
        assert_eq!(over.reason, Reason::MalformedNumber);
        let long = int.replace("\"int\"", "\"long\"");
        let mut datum = [0xFF; 10];
        datum[9] = 1;
        assert_eq!(shape(&long, &long).check(&datum), Ok(()));
        datum[9] = 2;
        assert_eq!(
            shape(&long, &long).check(&datum).unwrap_err().reason,
            Reason::MalformedNumber
        );
    }

    /// The guarantee of this module: arrow-avro reads whatever passes, to the last byte.
    fn assert_arrow_avro_reads(datum: &[u8]) {
        for reader in [&most(), LAST_ONLY] {
            if shape(EXOTIC, reader).check(datum).is_ok() {
                let mut decoder = arrow_avro(EXOTIC, reader);
                assert_eq!(decoder.decode(datum).unwrap(), datum.len(), "{datum:?}");
                assert_eq!(decoder.flush().unwrap().unwrap().num_rows(), 1);
            }
        }
    }

    #[test]
    fn whatever_passes_after_a_flipped_bit_arrow_avro_reads() {
        for bit in 0..sound().len() * 8 {
            let mut datum = sound();
            datum[bit / 8] ^= 1 << (bit % 8);
            assert_arrow_avro_reads(&datum);
        }
    }

    proptest! {
        #[test]
        fn whatever_passes_after_some_changes_arrow_avro_reads(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3usize), 1..5),
        ) {
            let mut datum = sound();
            for (index, byte, change) in changes {
                let at = index.index(datum.len());
                match change {
                    0 => datum[at] = byte,
                    1 => datum.insert(at, byte),
                    _ => drop(datum.remove(at)),
                }
            }
            assert_arrow_avro_reads(&datum);
        }
    }
}
