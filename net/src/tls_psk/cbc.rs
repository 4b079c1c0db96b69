//! AES-128-CBC with HMAC: a random first block, then content, MAC and padding under the cipher.

use super::padded_mac::{Hash, PREFIX_LEN, PaddedMac};
use aes::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit, KeyInit, consts::U16};
use aes::{Aes128Dec, Aes128Enc};
use alloc::vec::Vec;
use core::ops::Range;
use hmac::{Hmac, Mac as _};
use sha1::Sha1;
use sha2::Sha256;

pub(super) const KEY_LEN: usize = 16;
pub(super) const IV_LEN: usize = 16;
const BLOCK: usize = 16;

/// Seals what this end sends.
pub(super) struct CbcSealer {
    cipher: Aes128Enc,
    hash: Hash,
    mac: Mac,
}

/// The ordinary MAC: what is sealed is no secret to this end.
enum Mac {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
}

impl Mac {
    fn new(hash: Hash, key: &[u8]) -> Mac {
        let mac = match hash {
            Hash::Sha1 => Hmac::new_from_slice(key).map(Mac::Sha1),
            Hash::Sha256 => Hmac::new_from_slice(key).map(Mac::Sha256),
        };
        let Ok(mac) = mac else { unreachable!("HMAC takes keys of any length") };
        mac
    }

    /// Appends the MAC over both parts.
    fn append(&self, parts: [&[u8]; 2], out: &mut Vec<u8>) {
        match self {
            Mac::Sha1(mac) => {
                let mac = mac.clone().chain_update(parts[0]).chain_update(parts[1]);
                out.extend_from_slice(&mac.finalize().into_bytes());
            }
            Mac::Sha256(mac) => {
                let mac = mac.clone().chain_update(parts[0]).chain_update(parts[1]);
                out.extend_from_slice(&mac.finalize().into_bytes());
            }
        }
    }
}

impl CbcSealer {
    pub(super) fn new(hash: Hash, key: &[u8; KEY_LEN], mac_key: &[u8]) -> CbcSealer {
        CbcSealer { cipher: Aes128Enc::new(&Array(*key)), hash, mac: Mac::new(hash, mac_key) }
    }

    /// Bytes of the body that holds `content` bytes, with the shortest padding.
    pub(super) fn body_len(&self, content: usize) -> usize {
        IV_LEN + ((content + self.hash.len()) / BLOCK + 1) * BLOCK
    }

    /// Appends the body of a record.
    pub(super) fn seal(
        &self,
        prefix: &[u8; PREFIX_LEN],
        content: &[u8],
        iv: &[u8; IV_LEN],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(iv);
        let begin = out.len();
        out.extend_from_slice(content);
        self.mac.append([prefix, content], out);
        let padding = BLOCK - (content.len() + self.hash.len()) % BLOCK;
        out.extend(core::iter::repeat_n((padding - 1) as u8, padding));
        let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(&mut out[begin..]);
        assert!(rest.is_empty(), "padded to whole blocks");
        cbc::Encryptor::inner_iv_init(&self.cipher, &Array(*iv)).encrypt_blocks(blocks);
    }
}

/// Opens what this end receives.
pub(super) struct CbcOpener {
    cipher: Aes128Dec,
    mac: PaddedMac,
}

impl CbcOpener {
    pub(super) fn new(hash: Hash, key: &[u8; KEY_LEN], mac_key: &[u8]) -> CbcOpener {
        CbcOpener { cipher: Aes128Dec::new(&Array(*key)), mac: PaddedMac::new(hash, mac_key) }
    }

    /// Opens a body in place, and says where in it the content is. `None`: whatever is wrong, it takes as long.
    pub(super) fn open(&self, prefix: [u8; PREFIX_LEN - 2], body: &mut [u8]) -> Option<Range<usize>> {
        let (iv, sealed) = body.split_first_chunk_mut::<IV_LEN>()?;
        let (blocks, rest) = Array::<u8, U16>::slice_as_chunks_mut(sealed);
        if !rest.is_empty() {
            return None;
        }
        cbc::Decryptor::inner_iv_init(&self.cipher, &Array(*iv)).decrypt_blocks(blocks);
        let len = self.mac.check(prefix, sealed)?;
        Some(IV_LEN..IV_LEN + len)
    }
}
