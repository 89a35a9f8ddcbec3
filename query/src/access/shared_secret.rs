//! The secret that all processes of an installation share: the same keys for cursors and pseudonyms are made of it.
//!
//! Enters: the configuration. Leaves: a key for each purpose. Guarantees: whoever sees what a key makes can try
//! passwords against it, so each try costs as much as one against a well-kept password (PBKDF2, RFC 8018). Reads the
//! configured files.

use std::fs;

use anyhow::{Context, bail};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha256};

use crate::config::QueryConfig;

/// Fewest bytes of `access.pseudonym_key_file`.
const FILE_BYTES_MIN: usize = 32;
const SALT: &[u8] = b"horolog";
/// For HMAC-SHA-256, by the OWASP Password Storage Cheat Sheet.
const ROUNDS: u32 = 600_000;

/// The secret.
#[derive(Clone)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// That of `access.pseudonym_key_file`, else the store's password.
    pub fn read(config: &QueryConfig) -> anyhow::Result<Self> {
        let Some(path) = &config.access.pseudonym_key_file else {
            return Ok(Self::of(config.clickhouse.read_password()?.as_bytes()));
        };
        let named = || format!("access.pseudonym_key_file = {}", path.display());
        let secret = fs::read(path).with_context(named)?;
        if secret.len() < FILE_BYTES_MIN {
            bail!("{}: is shorter than {FILE_BYTES_MIN} bytes", named());
        }
        Ok(Self::of(&secret))
    }

    fn of(secret: &[u8]) -> Self {
        let mut stretched = [0; 32];
        pbkdf2_hmac::<Sha256>(secret, SALT, ROUNDS, &mut stretched);
        Self(stretched)
    }

    /// For tests: made of a name.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(Sha256::digest(name).into())
    }

    /// The key for one purpose; those for others cannot be told from it.
    pub fn key_for(&self, purpose: &'static str) -> [u8; 32] {
        let digest = Sha256::new().chain_update(purpose).chain_update([0]);
        digest.chain_update(self.0).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_and_each_secret_has_a_key_of_its_own() {
        let [one, other] = ["one", "other"].map(|secret| SharedSecret::of(secret.as_bytes()));
        assert_eq!(one.key_for("cursor"), SharedSecret::of(b"one").key_for("cursor"));
        assert_ne!(one.key_for("cursor"), one.key_for("mask"));
        assert_ne!(one.key_for("cursor"), other.key_for("cursor"));
    }
}
