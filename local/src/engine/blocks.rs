//! ClickHouse's compressed blocks, as `compress=1` and `decompress=1` carry them.
//!
//! A block is a 16-byte CityHash128 (version 1.0.2) of the rest, a method byte, the compressed size with this nine-byte
//! header, the size of the content (both u32, little endian), then the compressed content.
//! Guarantees: a block is passed on only after its checksum matches; sizes are bounded before anything is allocated.

use bytes::{Buf, BytesMut};

use super::exception::{Code, Exception};

const CHECKSUM_BYTES: usize = 16;
const HEADER_BYTES: usize = 9;
const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
const METHOD_ZSTD: u8 = 0x90;
/// ClickHouse refuses larger blocks too (`DBMS_MAX_COMPRESSED_SIZE`).
const BLOCK_BYTES_MAX: usize = 1 << 30;
/// Content of a block that we write; ClickHouse writes blocks of the same size.
const CONTENT_BYTES: usize = 1 << 20;

/// Decodes a stream of blocks that arrives in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: BytesMut,
    content: Vec<u8>,
}

impl Decoder {
    /// Takes a piece of the stream and hands on the content of each block that it completes.
    pub fn push(
        &mut self,
        piece: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), Exception>,
    ) -> Result<(), Exception> {
        self.pending.extend_from_slice(piece);
        while let Some(end) = block_end(&self.pending)? {
            verify(&self.pending[..end])?;
            let packed = &self.pending[CHECKSUM_BYTES + HEADER_BYTES..end];
            match self.pending[CHECKSUM_BYTES] {
                METHOD_NONE => take(packed)?,
                METHOD_LZ4 => {
                    self.content.resize(content_bytes(&self.pending), 0);
                    let length = lz4_flex::block::decompress_into(packed, &mut self.content)
                        .map_err(|error| Exception::new(Code::CANNOT_DECOMPRESS, error))?;
                    take(&self.content[..length])?;
                }
                METHOD_ZSTD => {
                    let content = zstd::bulk::decompress(packed, content_bytes(&self.pending))
                        .map_err(|error| Exception::new(Code::CANNOT_DECOMPRESS, error))?;
                    take(&content)?;
                }
                method => return Err(unknown_method(method)),
            }
            self.pending.advance(end);
        }
        Ok(())
    }

    /// Ends the stream; an incomplete block is an error.
    pub fn finish(&self) -> Result<(), Exception> {
        if self.pending.is_empty() {
            return Ok(());
        }
        Err(Exception::new(
            Code::CANNOT_DECOMPRESS,
            "the body ends within a compressed block",
        ))
    }
}

/// Where the first block of `stream` ends; `None` while it has not arrived.
fn block_end(stream: &[u8]) -> Result<Option<usize>, Exception> {
    if stream.len() < CHECKSUM_BYTES + HEADER_BYTES {
        return Ok(None);
    }
    let (packed, content) = (size_at(stream, CHECKSUM_BYTES + 1), content_bytes(stream));
    if !(HEADER_BYTES..=BLOCK_BYTES_MAX).contains(&packed) || content > BLOCK_BYTES_MAX {
        let reason = format!("a compressed block of {packed} bytes with {content} bytes of content is not possible");
        return Err(Exception::new(Code::TOO_LARGE_SIZE_COMPRESSED, reason));
    }
    Ok(Some(CHECKSUM_BYTES + packed).filter(|end| *end <= stream.len()))
}

fn content_bytes(block: &[u8]) -> usize {
    size_at(block, CHECKSUM_BYTES + 5)
}

fn size_at(bytes: &[u8], at: usize) -> usize {
    (&bytes[at..at + 4]).get_u32_le() as usize
}

fn verify(block: &[u8]) -> Result<(), Exception> {
    if (&block[..CHECKSUM_BYTES]).get_u128_le() == checksum(&block[CHECKSUM_BYTES..]) {
        return Ok(());
    }
    Err(Exception::new(
        Code::CHECKSUM_DOESNT_MATCH,
        "the checksum of a compressed block does not match: corrupted data",
    ))
}

fn unknown_method(method: u8) -> Exception {
    Exception::new(
        Code::UNKNOWN_COMPRESSION_METHOD,
        format!("unknown compression method {method:#04x}: send LZ4, ZSTD or NONE"),
    )
}

/// ClickHouse stores the low half first; the crate returns it in the high one.
fn checksum(bytes: &[u8]) -> u128 {
    cityhash_rs::cityhash_102_128(bytes).rotate_right(64)
}

/// Appends `content` to `stream` as LZ4 blocks.
pub fn encode(content: &[u8], stream: &mut Vec<u8>) {
    for content in content.chunks(CONTENT_BYTES) {
        let start = stream.len();
        let worst = lz4_flex::block::get_maximum_output_size(content.len());
        stream.resize(start + CHECKSUM_BYTES + HEADER_BYTES + worst, 0);
        let packed_start = start + CHECKSUM_BYTES + HEADER_BYTES;
        // This fails only if the output is too small, and it has room for the worst case.
        let packed = lz4_flex::block::compress_into(content, &mut stream[packed_start..]).unwrap_or_default();
        stream.truncate(packed_start + packed);
        let header = start + CHECKSUM_BYTES;
        stream[header] = METHOD_LZ4;
        stream[header + 1..header + 5].copy_from_slice(&((packed + HEADER_BYTES) as u32).to_le_bytes());
        stream[header + 5..header + 9].copy_from_slice(&(content.len() as u32).to_le_bytes());
        let sum = checksum(&stream[header..]);
        stream[start..header].copy_from_slice(&sum.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(stream: &[u8], piece: usize) -> Result<Vec<u8>, Exception> {
        let (mut decoder, mut content) = (Decoder::default(), Vec::new());
        for piece in stream.chunks(piece) {
            decoder.push(piece, |bytes| {
                content.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        decoder.finish().map(|()| content)
    }

    fn encoded(content: &[u8]) -> Vec<u8> {
        let mut stream = Vec::new();
        encode(content, &mut stream);
        stream
    }

    /// A block as ClickHouse writes it for the text below, method and sizes readable, to pin the byte order.
    #[test]
    fn a_block_is_laid_out_as_clickhouse_lays_it_out() {
        let block = encoded(b"hello");
        assert_eq!(block[16], 0x82);
        assert_eq!(block[17..21], [15, 0, 0, 0]); // nine bytes of header, six of LZ4 literals
        assert_eq!(block[21..25], [5, 0, 0, 0]);
        assert_eq!(block[25..], *b"\x50hello");
    }

    #[test]
    fn content_that_is_not_compressed_is_accepted() {
        let mut block = vec![0_u8; 16];
        block.push(METHOD_NONE);
        block.extend_from_slice(&14_u32.to_le_bytes());
        block.extend_from_slice(&5_u32.to_le_bytes());
        block.extend_from_slice(b"hello");
        let sum = checksum(&block[16..]);
        block[..16].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(decode(&block, 7).unwrap(), b"hello");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let stream = encoded(b"hello");
        assert_eq!(decode(&stream[..stream.len() - 1], 64).unwrap_err().code(), 271);
    }

    #[test]
    fn a_size_that_is_not_possible_is_refused_before_it_is_allocated() {
        let mut block = encoded(b"hello");
        block[21..25].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&block, 64).unwrap_err().code(), 39);
    }

    proptest! {
        #[test]
        fn any_content_round_trips_in_any_pieces(content in prop::collection::vec(any::<u8>(), 0..5000), piece in 1_usize..600) {
            prop_assert_eq!(decode(&encoded(&content), piece).unwrap(), content);
        }

        #[test]
        fn a_flipped_bit_is_found(content in prop::collection::vec(any::<u8>(), 1..500), bit in any::<prop::sample::Index>()) {
            let mut stream = encoded(&content);
            let bit = bit.index(stream.len() * 8);
            stream[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&stream, 64).is_err());
        }
    }
}
