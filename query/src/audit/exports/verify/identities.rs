//! Detects duplicates among any number of identities in bounded memory.
//!
//! Enters: 128-bit identities. Leaves: how many occurred more than once. They are partitioned into 256 files by an
//! evenly distributed byte, and each file is sorted in memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use sha2::{Digest, Sha256};

const FILES: usize = 256;
const BYTES: usize = 16;

/// Identities to be compared.
pub struct Identities {
    files: Vec<BufWriter<File>>,
}

impl Identities {
    /// With temporary files, which are removed with it.
    pub fn new() -> io::Result<Self> {
        let refused =
            |error: io::Error| io::Error::new(error.kind(), format!("no temporary file in TMPDIR or /tmp: {error}"));
        let file = |_| Ok(BufWriter::with_capacity(4096, tempfile::tempfile().map_err(refused)?));
        Ok(Self {
            files: (0..FILES).map(file).collect::<io::Result<_>>()?,
        })
    }

    /// Adds one. A stranger may choose its bytes, but not those of its hash.
    pub fn push(&mut self, identity: &str) -> io::Result<()> {
        let hash = Sha256::digest(identity);
        self.files[usize::from(hash[31])].write_all(&hash[..BYTES])
    }

    /// How many were repeated.
    pub fn repeated(self) -> io::Result<u64> {
        let mut repeated = 0;
        for file in self.files {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let mut hashes: Vec<&[u8]> = bytes.chunks_exact(BYTES).collect();
            hashes.sort_unstable();
            repeated += hashes.windows(2).filter(|pair| pair[0] == pair[1]).count() as u64;
        }
        Ok(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_that_comes_again_is_counted_each_time() {
        let mut identities = Identities::new().unwrap();
        for number in 0..2_000 {
            identities.push(&format!("{}", number % 1_990)).unwrap();
        }
        identities.push("7").unwrap();
        assert_eq!(identities.repeated().unwrap(), 11);
    }
}
