//! The pool's keys, by id: the first signs cookies, all verify them.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::identity::octets_of_hex;

/// Octets of an HMAC-SHA-256 (RFC 2104).
pub const MAC_LENGTH: usize = 32;
/// Shortest key that is accepted, in octets.
const MIN_KEY: usize = 16;

/// The keys of a pool. Never empty.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<(u16, Vec<u8>)>,
}

/// Why a text is no key file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// A line is not `ID HEX`.
    #[error("line {line}: expected `ID HEX`")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// The id is no number from 0 to 65535.
    #[error("line {line}: key id is not a number from 0 to 65535")]
    Id {
        /// Counted from 1.
        line: usize,
    },
    /// The key is not hexadecimal, or shorter than 16 octets.
    #[error("line {line}: a key is at least {} hexadecimal digits", 2 * MIN_KEY)]
    Key {
        /// Counted from 1.
        line: usize,
    },
    /// Two keys have the same id.
    #[error("line {line}: key id {id} again")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// The id.
        id: u16,
    },
    /// There is no key.
    #[error("no key")]
    Empty,
}

impl KeyRing {
    /// Reads a key file: lines `ID HEX`; empty lines and lines that start with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, KeyFileError> {
        let mut keys: Vec<(u16, Vec<u8>)> = Vec::new();
        for (at, content) in text.lines().enumerate() {
            let (line, content) = (at + 1, content.trim());
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (id, hex) = content.split_once(char::is_whitespace).ok_or(KeyFileError::Line { line })?;
            let id = id.parse().map_err(|_| KeyFileError::Id { line })?;
            let key = octets_of_hex(hex.trim()).filter(|key| key.len() >= MIN_KEY);
            let key = key.ok_or(KeyFileError::Key { line })?;
            if keys.iter().any(|(known, _)| *known == id) {
                return Err(KeyFileError::Repeated { line, id });
            }
            keys.push((id, key));
        }
        if keys.is_empty() { Err(KeyFileError::Empty) } else { Ok(Self { keys }) }
    }

    /// Returns the id of the key that signs.
    pub fn signing_id(&self) -> u16 {
        self.keys[0].0
    }

    /// Signs with the first key.
    pub(crate) fn sign(&self, octets: &[u8]) -> [u8; MAC_LENGTH] {
        mac(&self.keys[0].1, octets).finalize().into_bytes().into()
    }

    /// Tells whether `tag` is the signature by key `id`, in constant time; `None` when there is no such key.
    pub(crate) fn verify(&self, id: u16, octets: &[u8], tag: &[u8]) -> Option<bool> {
        let (_, key) = self.keys.iter().find(|(known, _)| *known == id)?;
        Some(mac(key, octets).verify_slice(tag).is_ok())
    }
}

fn mac(key: &[u8], octets: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(octets);
    mac
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f";

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let old = KeyRing::parse(&format!("1 {KEY}")).unwrap();
        let new = KeyRing::parse(&format!("# of May\n2 ff{KEY}\n\n1 {KEY}\n")).unwrap();
        assert_eq!((old.signing_id(), new.signing_id()), (1, 2));
        assert_eq!(new.verify(1, b"text", &old.sign(b"text")), Some(true));
        assert_eq!(new.verify(1, b"texT", &old.sign(b"text")), Some(false));
        assert_eq!(old.verify(2, b"text", &new.sign(b"text")), None);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = |text: &str| KeyRing::parse(text).unwrap_err();
        assert_eq!(error("# only a comment\n"), KeyFileError::Empty);
        assert_eq!(error("1"), KeyFileError::Line { line: 1 });
        assert_eq!(error(&format!("65536 {KEY}")), KeyFileError::Id { line: 1 });
        assert_eq!(error("\n1 00ff"), KeyFileError::Key { line: 2 });
        assert_eq!(error(&format!("1 {KEY}\n1 {KEY}")), KeyFileError::Repeated { line: 2, id: 1 });
    }

    #[test]
    fn keys_do_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", KeyRing::parse(&format!("7 {KEY}")).unwrap()), "[7]");
    }
}
