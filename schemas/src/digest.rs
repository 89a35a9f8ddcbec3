//! SHA-256 of files, and the format of digests.
//!
//! Enters: bytes, or the path of a file, which is read in pieces. Leaves: lower-case hexadecimal.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes read from a file at a time.
const READ_BYTES: usize = 1 << 20;

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Size in bytes and SHA-256 of a file. Blocks.
pub fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let (mut buffer, mut bytes) = (vec![0; READ_BYTES], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_size_and_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes = vec![7; READ_BYTES + 1];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(
            of_file(&path).unwrap(),
            (bytes.len() as u64, hex(&Sha256::digest(&bytes)))
        );
        assert_eq!(hex(&[0, 0xab]), "00ab");
    }
}
