//! Common files that are not UTF-8 text: what they are, and how to convert them.
//!
//! Enters: the first bytes of a file. Leaves: the error that says so, or nothing. A packed file should be unpacked next
//! to itself, not into a pipe, since CSV records are named after their file and folder.

/// A file that another program must convert to text first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {what}; {remedy}")]
pub struct Foreign {
    /// What it is.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

/// Text in another encoding goes through a pipe, so the names that would come from the file must be given.
macro_rules! converted_from {
    ($encoding:literal) => {
        concat!(
            "use `iconv -f ",
            $encoding,
            " -t UTF-8 FILE | horolog import … -`, for CSV with --metric and --service in place of the file and folder \
             names"
        )
    };
}

pub(super) use converted_from;

/// First bytes, what they mean, and how to get text from such a file.
const FOREIGN: [(&[u8], &str, &str); 8] = [
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it: `zstd -d FILE`"),
    (b"\xfd7zXZ", "packed with xz", "unpack it: `xz -dk FILE`"),
    (b"BZh", "packed with bzip2", "unpack it: `bzip2 -dk FILE`"),
    (
        b"PK\x03\x04",
        "a zip archive or an Excel workbook",
        "unpack it, or save it as CSV",
    ),
    (
        b"ElfFile\0",
        "a Windows event log",
        "convert it to one JSON object per line with `evtx_dump -o jsonl FILE`; importing the result shows how to \
         flatten it",
    ),
    (
        b"PAR1",
        "Parquet",
        "save it as CSV, or as JSON with one object per line",
    ),
    (b"\xff\xfe", "UTF-16", converted_from!("UTF-16")),
    (b"\xfe\xff", "UTF-16", converted_from!("UTF-16")),
];
impl Foreign {
    /// What a file with these first bytes is.
    pub fn find(head: &[u8]) -> Option<Self> {
        let known = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic));
        let of = |what, remedy| Self { what, remedy };
        match (known, head) {
            (Some((_, what, remedy)), _) => Some(of(what, remedy)),
            // Latin characters in UTF-16 without a byte order mark; UTF-8 text has no zero bytes.
            (None, [1..=255, 0, 1..=255, 0, ..]) => Some(of("UTF-16", converted_from!("UTF-16LE"))),
            (None, [0, 1..=255, 0, 1..=255, ..]) => Some(of("UTF-16", converted_from!("UTF-16BE"))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_told_with_its_remedy() {
        let utf_16 = |bytes: fn(u16) -> [u8; 2]| "time,value\n".encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        for (head, said) in [
            (
                b"\x28\xb5\x2f\xfdxyz".to_vec(),
                "packed with zstd; unpack it: `zstd -d FILE`",
            ),
            (utf_16(u16::to_le_bytes), "iconv -f UTF-16LE "),
            (utf_16(u16::to_be_bytes), "iconv -f UTF-16BE "),
            (
                [b"\xff\xfe", &utf_16(u16::to_le_bytes)[..]].concat(),
                "iconv -f UTF-16 ",
            ),
        ] {
            let found = Foreign::find(&head).map(|foreign| foreign.to_string());
            assert!(
                found.as_ref().is_some_and(|words| words.contains(said)),
                "{said}: {found:?}"
            );
        }
        for text in ["", "t", "time,value\n", "{}", "é"] {
            assert_eq!(Foreign::find(text.as_bytes()), None, "{text}");
        }
    }
}
