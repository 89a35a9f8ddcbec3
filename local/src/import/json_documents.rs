//! JSON documents that are not one per line: arrays, answers of APIs (`{"value": […]}`), CloudTrail's files as delivered
//! (`{"Records": […]}`) and printed objects.
//!
//! Enters: a reader with one document or several after each other, and which field of them holds the records. Leaves: the raw text of each record, with the line on
//! which it ends, one at a time: a file of any size is read in the memory of its largest record, which has a bound.
//! A syntax error ends the file, since nobody can know where the next record begins.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Largest record, and most bytes between two records.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;

/// Gives every record of the documents to `each`, which says whether it wants more.
pub fn read(
    reader: impl Read,
    envelope: Option<&str>,
    mut each: impl FnMut(u64, &str) -> bool,
) -> Result<(), serde_json::Error> {
    let place = Rc::new(Place {
        line: Cell::new(1),
        bytes_left: Cell::new(RECORD_BYTES_MAX),
        stopped: Cell::new(false),
    });
    let watched = Watched {
        reader,
        place: Rc::clone(&place),
    };
    let mut documents = serde_json::Deserializer::from_reader(watched);
    let mut records = Records {
        place: Rc::clone(&place),
        each: &mut each,
    };
    // `end` succeeds when nothing but spaces is left.
    while documents.end().is_err() {
        let document = Document {
            envelope,
            records: &mut records,
        };
        let read = document.deserialize(&mut documents);
        if place.stopped.get() {
            return Ok(());
        }
        read?;
        place.bytes_left.set(RECORD_BYTES_MAX);
    }
    Ok(())
}

/// Where the parser is.
struct Place {
    line: Cell<u64>,
    /// Bytes until a record is too large.
    bytes_left: Cell<u64>,
    stopped: Cell<bool>,
}

/// Counts lines, and refuses to go on inside a record that is too large.
struct Watched<R> {
    reader: R,
    place: Rc<Place>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.place.bytes_left.get().min(buffer.len() as u64) as usize;
        if allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!(
                "a record is larger than {RECORD_BYTES_MAX} bytes"
            )));
        }
        let read = self.reader.read(&mut buffer[..allowed])?;
        let ends = buffer[..read].iter().filter(|&&byte| byte == b'\n').count();
        self.place.line.set(self.place.line.get() + ends as u64);
        self.place.bytes_left.set(self.place.bytes_left.get() - read as u64);
        Ok(read)
    }
}

/// Takes the records.
struct Records<'a, F> {
    place: Rc<Place>,
    each: &'a mut F,
}

impl<F: FnMut(u64, &str) -> bool> Records<'_, F> {
    fn take<E: serde::de::Error>(&mut self, record: &str) -> Result<(), E> {
        self.place.bytes_left.set(RECORD_BYTES_MAX);
        if (self.each)(self.place.line.get(), record) {
            return Ok(());
        }
        self.place.stopped.set(true);
        Err(E::custom("stopped"))
    }
}

/// One document: an array, an object whose envelope is walked through, or an object that is a record itself.
struct Document<'r, 'a, F> {
    envelope: Option<&'r str>,
    records: &'r mut Records<'a, F>,
}

impl<'de, F: FnMut(u64, &str) -> bool> DeserializeSeed<'de> for Document<'_, '_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(u64, &str) -> bool> Visitor<'de> for Document<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.records.visit_seq(items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        // If the document is itself the record, its fields have been split up by now: put it together again.
        let mut own = String::from("{");
        let mut has_records = false;
        while let Some(key) = fields.next_key::<String>()? {
            if Some(key.as_str()) == self.envelope {
                has_records = true;
                fields.next_value_seed(&mut *self.records)?;
            } else if has_records {
                fields.next_value::<IgnoredAny>()?;
            } else {
                let value = fields.next_value::<Box<RawValue>>()?;
                let comma = if own.len() > 1 { "," } else { "" };
                own.push_str(&format!("{comma}{}:{}", serde_json::Value::from(key), value.get()));
            }
        }
        own.push('}');
        if has_records { Ok(()) } else { self.records.take(&own) }
    }
}

impl<'de, F: FnMut(u64, &str) -> bool> DeserializeSeed<'de> for &mut Records<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(u64, &str) -> bool> Visitor<'de> for &mut Records<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(record) = items.next_element::<Box<RawValue>>()? {
            self.take(record.get())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(json: &[u8]) -> (Vec<(u64, String)>, Option<String>) {
        let mut found = Vec::new();
        let result = read(json, Some("Records"), |line, record| {
            found.push((line, record.to_owned()));
            true
        });
        (found, result.err().map(|error| error.to_string()))
    }

    #[test]
    fn walks_through_the_records_and_past_other_fields() {
        let (found, error) = all(b"{\"x\": [1], \"Records\": [ {\"a\": 1},\n 7, {\"b\":[2]}\n], \"y\": {}}\n");
        assert_eq!(
            found,
            [(1, "{\"a\": 1}".into()), (2, "7".into()), (2, "{\"b\":[2]}".into())]
        );
        assert_eq!(error, None);
    }

    #[test]
    fn takes_documents_after_each_other_and_objects_that_are_records() {
        let (found, error) =
            all(b"{\"Records\":[{\"a\":1}]}{\"Records\":[]}\n{\n  \"k\": \"v\",\n  \"n\": 1.50\n}\n\n");
        assert_eq!(found, [(1, "{\"a\":1}".into()), (5, r#"{"k":"v","n":1.50}"#.into())]);
        assert_eq!(error, None);
    }

    #[test]
    fn an_array_is_walked_through_and_more_may_follow() {
        let (found, error) = all(b"[{\"a\":1},\n {\"b\":[{}]} ]\n[{\"c\":2}]");
        let expected = [(1, "{\"a\":1}"), (2, "{\"b\":[{}]}"), (3, "{\"c\":2}")];
        assert_eq!(found, expected.map(|(line, json)| (line, json.to_owned())));
        assert_eq!(error, None);
        let (found, error) = all(b"[{\"a\":1}, 7\n");
        assert_eq!(found.len(), 2, "what is no object is for the format to refuse");
        assert!(error.is_some(), "the array is cut off");
    }

    #[test]
    fn an_envelope_of_another_name_is_a_record() {
        let mut found = Vec::new();
        let json = &b"{\"Records\": [1], \"items\": [{\"a\":1}]}{\"b\":2}"[..];
        read(json, Some("items"), |_, record| {
            found.push(record.to_owned());
            true
        })
        .unwrap();
        assert_eq!(found, ["{\"a\":1}", "{\"b\":2}"]);
    }

    #[test]
    fn a_syntax_error_ends_the_file_after_the_records_before_it() {
        let (found, error) = all(b"{\"Records\":[{\"a\":1},\n{\"b\":]}");
        assert_eq!(found.len(), 1);
        assert!(error.unwrap().contains("line 2"));
    }

    #[test]
    fn a_record_beyond_the_bound_is_refused_without_being_held() {
        let endless = io::repeat(b'x');
        let error = read(b"{\"Records\":[\"".chain(endless), Some("Records"), |_, _| true).unwrap_err();
        assert!(error.to_string().contains("larger than"), "{error}");
    }

    #[test]
    fn stops_when_told_to() {
        for json in ["{\"Records\":[1,2,3]}", "[1,2,3]"] {
            let mut count = 0;
            read(json.as_bytes(), Some("Records"), |_, _| {
                count += 1;
                count < 2
            })
            .unwrap();
            assert_eq!(count, 2, "{json}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'['), Just(b'"'), any::<u8>()], 0..60)) {
            all(&bytes);
        }
    }
}
