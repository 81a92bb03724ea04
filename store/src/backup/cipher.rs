//! How a file of a backup is encrypted: chunks of ChaCha20-Poly1305, each with its place and
//! whether it is the last (the STREAM construction), under a key of the file's own.

use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, MAX_TAG_LEN, Nonce, UnboundKey};
use ring::hkdf::{self, HKDF_SHA256, Salt};

/// Bytes of a chunk before it is encrypted; the last one of a file may have fewer.
pub(crate) const CHUNK: usize = 64 * 1024;
/// Bytes that a chunk has more once it is encrypted.
pub(crate) const TAG: usize = 16;

const _: () = assert!(TAG == MAX_TAG_LEN, "the tag of ChaCha20-Poly1305");

/// What the key of a file is derived for, before its name.
const PURPOSE: &[u8] = b"ringmaster backup 1\0";
/// Of a nonce, before the chunk's number and whether it is the last.
const PREFIX: usize = 7;

/// A secret of 32 bytes.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    pub fn new(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// Reads 64 hexadecimal digits.
    pub fn parse(digits: &str) -> Option<Key> {
        let digits = digits.as_bytes();
        let mut key = [0; 32];
        if digits.len() != 2 * key.len() {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
            let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
            *byte = u8::try_from(high? * 16 + low?).ok()?;
        }
        Some(Key(key))
    }

    /// What [`Key::parse`] reads.
    pub fn digits(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The cipher of one file.
pub(crate) struct Cipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX],
    /// Of the next chunk.
    number: u32,
    /// The header of the file and its name: neither can be exchanged.
    bound: Vec<u8>,
}

/// The chunk is not what was encrypted with this key, under this name, at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unopened {
    pub(crate) is_first: bool,
}

struct Material;

impl hkdf::KeyType for Material {
    fn len(&self) -> usize {
        32 + PREFIX
    }
}

impl Cipher {
    pub(crate) fn new(key: &Key, salt: &[u8], header: &[u8], name: &str) -> Cipher {
        let mut material = [0; 32 + PREFIX];
        let extracted = Salt::new(HKDF_SHA256, salt).extract(&key.0);
        extracted
            .expand(&[PURPOSE, name.as_bytes()], Material)
            .and_then(|expanded| expanded.fill(&mut material))
            .expect("HKDF gives far more bytes than these");
        let (secret, prefix) = material.split_at(32);
        let secret = UnboundKey::new(&CHACHA20_POLY1305, secret).expect("a key has 32 bytes");
        let bound = [header, name.as_bytes()].concat();
        let prefix = prefix.try_into().expect("the rest of the material");
        Cipher { key: LessSafeKey::new(secret), prefix, number: 0, bound }
    }

    /// Encrypts in place and appends the tag.
    pub(crate) fn seal(&mut self, chunk: &mut Vec<u8>, is_last: bool) {
        let nonce = self.next_nonce(is_last);
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(&self.bound), chunk)
            .expect("a chunk is far below what the cipher takes");
    }

    /// Decrypts in place and drops the tag.
    pub(crate) fn open(&mut self, chunk: &mut Vec<u8>, is_last: bool) -> Result<(), Unopened> {
        let is_first = self.number == 0;
        let nonce = self.next_nonce(is_last);
        let opened = self.key.open_in_place(nonce, Aad::from(&self.bound), chunk);
        let len = opened.map_err(|_| Unopened { is_first })?.len();
        chunk.truncate(len);
        Ok(())
    }

    fn next_nonce(&mut self, is_last: bool) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..PREFIX].copy_from_slice(&self.prefix);
        nonce[PREFIX..PREFIX + 4].copy_from_slice(&self.number.to_be_bytes());
        nonce[PREFIX + 4] = u8::from(is_last);
        self.number = self.number.checked_add(1).expect("a file is far below 256 TiB");
        Nonce::assume_unique_for_key(nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits() {
        let digits = "00112233445566778899aabbccddeeff".repeat(2);
        assert_eq!(Key::parse(&digits).unwrap().digits(), digits);
        assert_eq!(Key::parse(&digits.to_uppercase()).unwrap().digits(), digits);
        for wrong in ["", &digits[1..], &digits.replace('0', "x"), &format!("{digits}0")] {
            assert!(Key::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_chunk_opens_at_its_place_in_its_file_only() {
        let key = Key::new([7; 32]);
        let sealed = |is_last| {
            let mut chunk = b"text".to_vec();
            Cipher::new(&key, &[1; 32], b"header", "a").seal(&mut chunk, is_last);
            chunk
        };
        let open = |key: &Key, salt, header: &[u8], name, skipped, is_last| {
            let mut cipher = Cipher::new(key, &[salt; 32], header, name);
            cipher.number = skipped;
            let mut chunk = sealed(true);
            cipher.open(&mut chunk, is_last).map(|()| chunk)
        };
        assert_eq!(open(&key, 1, b"header", "a", 0, true).unwrap(), b"text");
        let wrong = Unopened { is_first: true };
        assert_eq!(open(&Key::new([8; 32]), 1, b"header", "a", 0, true), Err(wrong));
        assert_eq!(open(&key, 2, b"header", "a", 0, true), Err(wrong));
        assert_eq!(open(&key, 1, b"Header", "a", 0, true), Err(wrong));
        assert_eq!(open(&key, 1, b"header", "b", 0, true), Err(wrong));
        assert_eq!(open(&key, 1, b"header", "a", 0, false), Err(wrong));
        assert!(open(&key, 1, b"header", "a", 1, true).is_err());
        assert_ne!(sealed(true), sealed(false));
    }
}
