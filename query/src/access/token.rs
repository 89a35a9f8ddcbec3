//! The secret that a caller holds: `hlg_<id>_<secret><checksum>`.
//!
//! The prefix and the checksum (CRC-32 of what precedes it, six base-62 digits, as in GitHub's tokens) let secret
//! scanners recognise a leaked key offline. The id is not secret: it names the key in lists and logs. The secret has
//! 238 bits from a cryptographic generator, so storing a single SHA-256 of it is enough: it cannot be guessed.

use std::fmt;

use horolog_schemas::digest::hex;
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const PREFIX: &str = "hlg_";
const ID_CHARS: usize = 12;
const SECRET_CHARS: usize = 40;
const CHECKSUM_CHARS: usize = 6;
/// Length of a whole token.
pub const TOKEN_CHARS: usize = PREFIX.len() + ID_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The id of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// A random id, unique for all practical purposes.
    pub fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), ID_CHARS))
    }

    /// `None` if it cannot be an id.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = text.len() == ID_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole token: never logged, never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    id: KeyId,
    text: String,
}

impl Token {
    /// A new random secret for a key.
    pub fn random(id: &KeyId) -> Self {
        let secret = Alphanumeric.sample_string(&mut rand::rng(), SECRET_CHARS);
        let head = format!("{PREFIX}{id}_{secret}");
        let text = format!("{head}{}", checksum(&head));
        Self { id: id.clone(), text }
    }

    /// `None` if it is not a token: wrong length, invalid character, wrong checksum.
    pub fn parse(text: &str) -> Option<Self> {
        let head = text
            .get(..TOKEN_CHARS - CHECKSUM_CHARS)
            .filter(|_| text.len() == TOKEN_CHARS)?;
        let (id, secret) = head.strip_prefix(PREFIX)?.split_once('_')?;
        let id = KeyId::parse(id)?;
        let fits = secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) && text.ends_with(&checksum(head));
        fits.then(|| Self {
            id,
            text: text.to_owned(),
        })
    }

    /// The key that it claims to be of.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole text, only for its holder.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The hash that is stored instead.
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(&self.text).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_***", self.id)
    }
}

/// SHA-256 of a token, written as hexadecimal.
#[derive(Debug, Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Matches no token: compared against when there is no key, so that it takes as long.
    pub const NONE: Self = Self([0; 32]);

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Serialize for TokenHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let byte = |index: usize| u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
        let bytes = bytes
            .filter(|_| text.len() == 64)
            .and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("expected 64 hexadecimal digits"))
    }
}

fn checksum(head: &str) -> String {
    let mut rest = crc32fast::hash(head.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits.iter().map(|&digit| char::from(digit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_back_and_knows_its_key() {
        let id = KeyId::random();
        let token = Token::random(&id);
        assert_eq!(token.expose().len(), TOKEN_CHARS);
        assert_eq!(Token::parse(token.expose()).unwrap().id(), &id);
        assert!(token.hash().matches(&Token::parse(token.expose()).unwrap().hash()));
        assert!(!token.hash().matches(&Token::random(&id).hash()));
    }

    #[test]
    fn neither_debug_nor_the_hash_shows_the_secret() {
        let token = Token::random(&KeyId::random());
        let secret = &token.expose()[17..];
        assert!(!format!("{token:?}").contains(secret));
        let written = serde_json::to_string(&token.hash()).unwrap();
        assert_eq!(written.len(), 66);
        assert!(
            serde_json::from_str::<TokenHash>(&written)
                .unwrap()
                .matches(&token.hash())
        );
    }

    proptest! {
        #[test]
        fn one_wrong_letter_is_seen_without_looking_the_key_up(at in 0..TOKEN_CHARS, letter in "[0-9A-Za-z_]") {
            let token = Token::random(&KeyId::random());
            let mut text = token.expose().to_owned();
            text.replace_range(at..at + 1, &letter);
            prop_assert_eq!(Token::parse(&text).is_some(), text == token.expose());
        }

        #[test]
        fn any_text_is_a_token_or_not(text in "\\PC{0,80}|hlg_[0-9A-Za-z]{12}_[0-9A-Za-z]{46}") {
            let _ = Token::parse(&text);
        }
    }
}
