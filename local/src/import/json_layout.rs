//! How the records lie in a file of JSON, and where the first of them begins.
//!
//! Enters: the first bytes of a file, from its first bracket. Leaves: whether it is read line by line or as documents,
//! and what begins with the first record, by which the format is told. Pure.

/// Fields in which a document holds its records: of CloudTrail and Azure's event hubs, of the command of AWS, of the APIs
/// of Azure and Microsoft, and of Kubernetes.
const ENVELOPES: [&str; 6] = ["Records", "records", "Events", "events", "value", "items"];

/// How records lie in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One on each line.
    Lines,
    /// Over any lines: one after the other, in arrays, or in arrays within a field of this name.
    Documents {
        /// The field.
        envelope: Option<&'static str>,
    },
}

/// A file of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a> {
    /// How its records lie in it.
    pub layout: Layout,
    /// The first record, and in documents what comes after it.
    pub first: &'a [u8],
}

impl<'a> Json<'a> {
    /// Looks at the first bytes; `None` if they begin neither an object nor an array of objects.
    pub fn of(head: &'a [u8]) -> Option<Self> {
        if let Some(first) = objects_in_array(head) {
            let layout = Layout::Documents { envelope: None };
            return Some(Self { layout, first });
        }
        if !head.starts_with(b"{") {
            return None;
        }
        if let Some((name, first)) = envelope(head) {
            let layout = Layout::Documents { envelope: Some(name) };
            return Some(Self { layout, first });
        }
        let line = head.split(|&byte| byte == b'\n').next().unwrap_or(head);
        Some(if line.trim_ascii() == b"{" {
            let layout = Layout::Documents { envelope: None };
            Self { layout, first: head }
        } else {
            let layout = Layout::Lines;
            Self { layout, first: line }
        })
    }

    /// Whether the first record has all of these fields; one within another is written `outer.inner`.
    pub fn has(&self, paths: &[&str]) -> bool {
        paths.iter().all(|path| has(self.first, path))
    }
}

fn has(object: &[u8], path: &str) -> bool {
    let (outer, inner) = path.split_once('.').unwrap_or((path, ""));
    let mut found = fields(object).filter(|(name, _)| *name == outer.as_bytes());
    found.any(|(_, value)| inner.is_empty() || has(value, inner))
}

/// The field of an object that is called like an envelope and is an array of objects, and its content.
fn envelope(object: &[u8]) -> Option<(&'static str, &[u8])> {
    fields(object).find_map(|(name, value)| {
        let envelope = ENVELOPES.iter().find(|envelope| envelope.as_bytes() == name)?;
        Some((*envelope, objects_in_array(value)?))
    })
}

/// The names of the fields of an object, as they are written, each with what comes after its colon. Ends where the
/// object does, or is no object.
pub fn fields(object: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = if object.starts_with(b"{") { object } else { &[] };
    let mut depth = 0_u32;
    std::iter::from_fn(move || {
        while let [byte, after @ ..] = rest {
            rest = after;
            match byte {
                b'{' | b'[' => depth += 1,
                // What is no JSON may close more than it opens.
                b'}' | b']' => depth = depth.checked_sub(1).filter(|depth| *depth > 0)?,
                b'"' => {
                    let end = end_of_string(after)?;
                    rest = &after[end + 1..];
                    if let (1, Some(value)) = (depth, rest.trim_ascii_start().strip_prefix(b":")) {
                        return Some((&after[..end], value.trim_ascii_start()));
                    }
                }
                _ => {}
            }
        }
        None
    })
    .fuse()
}

/// What follows the bracket of an array that is empty, or whose first item is an object.
fn objects_in_array(json: &[u8]) -> Option<&[u8]> {
    let items = json.strip_prefix(b"[")?.trim_ascii_start();
    matches!(items, [] | [b'{' | b']', ..]).then_some(items)
}

/// Where the quote is that ends a string.
fn end_of_string(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(json: &str) -> Option<(Layout, &str)> {
        Json::of(json.as_bytes()).map(|found| (found.layout, std::str::from_utf8(found.first).unwrap()))
    }

    #[test]
    fn records_lie_on_lines_in_arrays_and_in_fields_of_documents() {
        let documents = |envelope| Layout::Documents { envelope };
        for (json, is) in [
            ("{\"a\":1}\n{\"a\":2}\n", (Layout::Lines, "{\"a\":1}")),
            ("{\n \"a\": 1\n}\n", (documents(None), "{\n \"a\": 1\n}\n")),
            ("[\n {\"a\":1}]", (documents(None), "{\"a\":1}]")),
            ("[]", (documents(None), "]")),
            ("{\"Records\":[{\"a\":1}]}", (documents(Some("Records")), "{\"a\":1}]}")),
            ("{ \"Records\" : [\n", (documents(Some("Records")), "")),
            (
                "{\"kind\":\"EventList\",\"metadata\":{\"items\":[{}]},\n\"items\":[{\"a\":1}]}",
                (documents(Some("items")), "{\"a\":1}]}"),
            ),
        ] {
            assert_eq!(layout(json), Some(is), "{json}");
        }
        for json in ["", "time,value", "[1,2]", "[Wed Oct 11 14:32:52 2000]"] {
            assert_eq!(layout(json), None, "{json}");
        }
    }

    #[test]
    fn fields_are_those_of_the_object_and_not_of_what_is_in_it() {
        let json = br#" {"a" : {"b":["c"]},"d\"":"e","f":[{"g":1}]}{"h":1}"#.trim_ascii_start();
        let names: Vec<&[u8]> = fields(json).map(|(name, _)| name).collect();
        assert_eq!(names, [&b"a"[..], b"d\\\"", b"f"]);
        let json = Json::of(json).unwrap();
        assert!(json.has(&["a.b", "f"]) && !json.has(&["f", "b"]) && !json.has(&["f.g"]));
        assert_eq!(fields(b"[\"a\":1").count() + fields(b"}\"a\":1").count(), 0);
    }

    #[test]
    fn a_record_with_such_a_field_is_no_envelope() {
        for json in [
            "{\"metric_name\":\"m\",\"value\":1}",
            "{\"value\":[1,2]}",
            "{\"kind\":\"items\",\"a\":[{}]}",
            "{\"a\":\"\\\"value\\\":[{\"}",
            "{\"a\":1}{\"items\":[{}]}",
        ] {
            assert_eq!(layout(json), Some((Layout::Lines, json)), "{json}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(json in "[\\[{\"\\\\:, \n\\]}a]{0,40}") {
            let _ = layout(&json);
            let _ = layout(&format!("{{\"items\":{json}"));
        }
    }
}
