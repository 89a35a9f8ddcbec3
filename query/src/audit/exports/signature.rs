//! The optional signature of a manifest: Ed25519 (RFC 8032), keys in PEM (RFC 8410) as OpenSSL makes them.
//!
//! Enters: a manifest's bytes. Leaves: 64 bytes of signature, or whether it is valid. Any Ed25519 tool can check it:
//! `openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in manifest.json -sigfile manifest.json.sig`.

use std::fmt;
use std::path::Path;

use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read.
    #[error("cannot read {0}: {1}")]
    File(String, std::io::Error),
    /// Its content is not a key.
    #[error("{0} holds no Ed25519 key in PEM; make one with: openssl genpkey -algorithm ed25519 -out FILE")]
    Form(String),
}

/// A private key.
pub struct Signer(SigningKey);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// From a file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let key = SigningKey::from_pkcs8_pem(&read(path)?);
        key.map(Self).map_err(|_| KeyError::Form(path.display().to_string()))
    }

    /// Signs.
    pub fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

/// A public key.
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From a file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(&read(path)?);
        key.map(Self).map_err(|_| KeyError::Form(path.display().to_string()))
    }

    /// Whether the signature of these bytes is valid.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}

fn read(path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|error| KeyError::File(path.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with OpenSSL 3.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIPRIV\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_is_no_key_is_refused_with_the_line_that_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, PRIVATE).unwrap();
        assert!(Signer::load(&path).unwrap_err().to_string().contains("openssl genpkey"));
    }
}
