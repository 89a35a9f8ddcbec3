//! Files and the standard input as one kind of reader: unpacked, with their first bytes known, their progress counted.
//!
//! Enters: a path, or `-`. Leaves: a buffered reader of plain bytes, without a byte order mark. gzip is recognised by
//! its magic bytes, not by the name; files of several gzip members are read to the end. Never holds more than the head
//! and its buffers.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

use super::detect::HEAD_BYTES;
use super::mapping::SourceName;

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// Bytes with which a UTF-8 file may begin, as some editors write it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where records come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// The standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// A source that was opened.
pub struct Opened {
    /// The first bytes, at most [`HEAD_BYTES`]; `reader` gives them again.
    pub head: Vec<u8>,
    /// All bytes.
    pub reader: Box<dyn BufRead>,
}

impl Source {
    /// `-` is the standard input.
    pub fn new(path: &Path) -> Self {
        if path == Path::new("-") {
            Self::Stdin
        } else {
            Self::File(path.to_owned())
        }
    }

    /// The name as the user wrote it.
    pub fn display(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// What its name says about its records.
    pub fn name(&self) -> io::Result<SourceName> {
        match self {
            Self::Stdin => Ok(SourceName::stdin()),
            // Links are not resolved: a file is named by the path that the user sees.
            Self::File(path) => std::path::absolute(path).map(|path| SourceName::of(&path)),
        }
    }

    /// Size on disk; unknown for the standard input and for pipes.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => path
                .metadata()
                .ok()
                .filter(|metadata| metadata.is_file())
                .map(|metadata| metadata.len()),
        }
    }

    /// Whether it can be read only once: the standard input, a pipe.
    pub fn is_read_once(&self) -> bool {
        match self {
            Self::Stdin => true,
            Self::File(path) => path.metadata().is_ok_and(|metadata| !metadata.is_file()),
        }
    }

    /// Opens it; the bar advances by the bytes that are read from the disk.
    pub fn open(&self, progress: &ProgressBar) -> io::Result<Opened> {
        let bytes: Box<dyn Read> = match self {
            Self::Stdin => Box::new(io::stdin().lock()),
            Self::File(path) => Box::new(File::open(path)?),
        };
        let mut packed = BufReader::with_capacity(BUFFER_BYTES, progress.wrap_read(bytes));
        let mut plain: Box<dyn BufRead> = if packed.fill_buf()?.starts_with(&GZIP_MAGIC) {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(packed)))
        } else {
            Box::new(packed)
        };
        let mut head = Vec::new();
        plain.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        if head.starts_with(BYTE_ORDER_MARK) {
            head.drain(..BYTE_ORDER_MARK.len());
        }
        let reader = Box::new(Cursor::new(head.clone()).chain(plain));
        Ok(Opened { head, reader })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"\xef\xbb\xbf{\"Records\":[]}").unwrap();
        let mut opened = Source::new(file.path()).open(&ProgressBar::hidden()).unwrap();
        let mut text = String::new();
        opened.reader.read_to_string(&mut text).unwrap();
        assert_eq!(
            (opened.head.as_slice(), text.as_str()),
            (text.as_bytes(), "{\"Records\":[]}")
        );
    }
}
