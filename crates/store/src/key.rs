//! The identity of stored things: full key bytes, a fast hash for memory, SHA-256 for disk.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Keys that begin like this have the same hash and the same first bytes of their ids.
#[cfg(test)]
pub(crate) const ALIKE: &[u8] = b"alike ";

/// A primary key: opaque bytes, compared in full, with their hash computed once.
#[derive(Clone)]
pub struct Key {
    hash: u64,
    bytes: Box<[u8]>,
}

impl Key {
    /// A key of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self { hash: hash_of(bytes), bytes: bytes.into() }
    }

    /// The bytes the key was made of.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The documented key id: SHA-256 of the bytes.
    pub fn id(&self) -> [u8; 32] {
        #[cfg_attr(not(test), expect(unused_mut, reason = "only tests have keys that look alike"))]
        let mut id: [u8; 32] = Sha256::digest(&self.bytes).into();
        #[cfg(test)]
        if self.bytes.starts_with(ALIKE) {
            id[..8].copy_from_slice(&[7; 8]);
        }
        id
    }

    /// The hash that memory structures use. It differs from process to process.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?})", String::from_utf8_lossy(&self.bytes))
    }
}

/// A key borrowed for a look-up: no allocation.
pub(crate) struct KeyRef<'a> {
    hash: u64,
    bytes: &'a [u8],
}

impl<'a> KeyRef<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { hash: hash_of(bytes), bytes }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Clients choose the keys, so the seed is secret: nobody can prepare keys that collide.
fn hash_of(bytes: &[u8]) -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    #[cfg(test)]
    if bytes.starts_with(ALIKE) {
        return 7;
    }
    xxh3_64_with_seed(bytes, *SEED.get_or_init(|| RandomState::new().hash_one(0_u8)))
}

/// Names the variant of an entry, the same in every process: it is part of file names.
pub(crate) fn variant_id(variant: &[u8]) -> u64 {
    xxh3_64(variant)
}

/// Hands the hash that a [`Key`] already has to the hash tables.
#[derive(Clone, Copy, Default)]
pub(crate) struct KnownHash;

impl BuildHasher for KnownHash {
    type Hasher = KnownHasher;

    fn build_hasher(&self) -> KnownHasher {
        KnownHasher(0)
    }
}

pub(crate) struct KnownHasher(u64);

impl Hasher for KnownHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_sha256_of_the_bytes() {
        // FIPS 180-2, appendix B.1.
        let id = Key::new(b"abc").id();
        assert_eq!(id[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
        assert_eq!(id[24..], [0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad]);
    }

    #[test]
    fn a_borrowed_key_has_the_hash_of_the_owned_one() {
        let key = Key::new(b"GET|http://a/");
        assert_eq!(KeyRef::new(b"GET|http://a/").hash(), key.hash());
        assert_eq!(KnownHash.hash_one(&key), KnownHash.hash_one(key.hash()));
        assert_ne!(KeyRef::new(b"GET|http://b/").hash(), key.hash());
    }
}
