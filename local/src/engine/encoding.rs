//! HTTP's content encodings: gzip, deflate, lz4 and zstd, in both directions.
//!
//! Enters: pieces of any size. Leaves: their decoded or encoded bytes. Guarantees: memory is bounded by a piece and the
//! format's window; a stream that is cut off is an error. ClickHouse's own blocks are here only as an output.

use std::io::{self, Read, Write};

use bytes::Bytes;

use super::blocks;

/// An encoding that is named in `Content-Encoding` and `Accept-Encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
    /// LZ4 frames.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// By its HTTP name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Self::Identity,
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// Its HTTP name; `None` where no header is sent.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Lz4 => Some("lz4"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// The best one that an `Accept-Encoding` header allows, in ClickHouse's order of preference.
    pub fn accepted(header: &str) -> Self {
        let names: Vec<_> = header
            .split(',')
            .map(|item| {
                item.split_once(';')
                    .map_or((item, ""), |(name, quality)| (name, quality))
            })
            .filter(|(_, quality)| quality.trim().replace(' ', "") != "q=0")
            .filter_map(|(name, _)| Self::named(name))
            .collect();
        let wanted = [Self::Zstd, Self::Lz4, Self::Gzip, Self::Deflate];
        wanted
            .into_iter()
            .find(|encoding| names.contains(encoding))
            .unwrap_or(Self::Identity)
    }
}

/// Decodes what `raw` reads, in pieces of the caller's size, so that a small body cannot become a large allocation.
pub struct Decoder<R> {
    state: State<R>,
}

enum State<R> {
    /// Not read yet: some decoders read a header when they are made, which must be left to the reading thread.
    New(Option<(Encoding, R)>),
    Open(Box<dyn Read + Send>),
}

impl<R: Read + Send + 'static> Decoder<R> {
    /// Reads nothing yet.
    pub fn new(encoding: Encoding, raw: R) -> Self {
        Self {
            state: State::New(Some((encoding, raw))),
        }
    }
}

impl<R: Read + Send + 'static> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let State::New(source) = &mut self.state {
            let (encoding, raw) = source.take().ok_or(io::ErrorKind::InvalidInput)?;
            self.state = State::Open(open(encoding, raw)?);
        }
        match &mut self.state {
            State::Open(decoder) => decoder.read(buffer),
            State::New(_) => Ok(0),
        }
    }
}

fn open(encoding: Encoding, raw: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(match encoding {
        Encoding::Identity => Box::new(raw),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(raw)),
        Encoding::Deflate => Box::new(flate2::read::ZlibDecoder::new(raw)),
        Encoding::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(raw)),
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(raw)?),
    })
}

/// Encodes pieces; each is flushed, so that a client sees a row as soon as it is sent.
pub enum Encoder {
    /// As it is.
    Identity,
    /// ClickHouse's compressed blocks (`compress=1`).
    Blocks,
    /// RFC 1952.
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// RFC 1950.
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
    /// LZ4 frames.
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    /// RFC 8878.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// For one of HTTP's encodings.
    pub fn new(encoding: Encoding) -> io::Result<Self> {
        let level = flate2::Compression::fast();
        Ok(match encoding {
            Encoding::Identity => Self::Identity,
            Encoding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), level)),
            Encoding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(Vec::new(), level)),
            Encoding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(
                Vec::new(),
                zstd::DEFAULT_COMPRESSION_LEVEL,
            )?),
        })
    }

    /// The encoded form of a piece.
    pub fn push(&mut self, piece: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Identity => Ok(piece),
            Self::Blocks => {
                let mut stream = Vec::with_capacity(piece.len() / 2);
                blocks::encode(&piece, &mut stream);
                Ok(stream.into())
            }
            Self::Gzip(encoder) => flushed(encoder, &piece).map(|encoder| take(encoder.get_mut())),
            Self::Deflate(encoder) => flushed(encoder, &piece).map(|encoder| take(encoder.get_mut())),
            Self::Lz4(encoder) => flushed(encoder.as_mut(), &piece).map(|encoder| take(encoder.get_mut())),
            Self::Zstd(encoder) => flushed(encoder, &piece).map(|encoder| take(encoder.get_mut())),
        }
    }

    /// The bytes that end the stream.
    pub fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Identity | Self::Blocks => Bytes::new(),
            Self::Gzip(encoder) => encoder.finish()?.into(),
            Self::Deflate(encoder) => encoder.finish()?.into(),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other)?.into(),
            Self::Zstd(encoder) => encoder.finish()?.into(),
        })
    }
}

fn flushed<'e, W: Write>(encoder: &'e mut W, piece: &[u8]) -> io::Result<&'e mut W> {
    encoder.write_all(piece)?;
    encoder.flush()?;
    Ok(encoder)
}

fn take(encoded: &mut Vec<u8>) -> Bytes {
    std::mem::take(encoded).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 5] = [
        Encoding::Identity,
        Encoding::Gzip,
        Encoding::Deflate,
        Encoding::Lz4,
        Encoding::Zstd,
    ];

    fn decode(encoding: Encoding, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Decoder::new(encoding, io::Cursor::new(bytes)).read_to_end(&mut content)?;
        Ok(content)
    }

    #[test]
    fn the_best_accepted_encoding_is_chosen() {
        assert_eq!(Encoding::accepted("gzip, deflate, br"), Encoding::Gzip);
        assert_eq!(Encoding::accepted("gzip;q=0.5, zstd;q=1"), Encoding::Zstd);
        assert_eq!(Encoding::accepted("zstd;q=0, br"), Encoding::Identity);
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        for encoding in [Encoding::Gzip, Encoding::Deflate, Encoding::Lz4, Encoding::Zstd] {
            let mut encoder = Encoder::new(encoding).unwrap();
            let mut encoded = encoder.push(Bytes::from(vec![7_u8; 1000])).unwrap().to_vec();
            encoded.extend_from_slice(&encoder.finish().unwrap());
            encoded.truncate(encoded.len() - 5);
            assert!(decode(encoding, encoded).is_err(), "{encoding:?}");
        }
    }

    proptest! {
        #[test]
        fn each_encoding_round_trips(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5)) {
            for encoding in ALL {
                let mut encoder = Encoder::new(encoding).unwrap();
                let mut encoded = Vec::new();
                for piece in &pieces {
                    encoded.extend_from_slice(&encoder.push(Bytes::from(piece.clone())).unwrap());
                }
                encoded.extend_from_slice(&encoder.finish().unwrap());
                prop_assert_eq!(decode(encoding, encoded).unwrap(), pieces.concat());
            }
        }
    }
}
