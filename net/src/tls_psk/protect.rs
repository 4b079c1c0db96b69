//! Sealing and opening records, each with its number: at once and in place, or later and by whoever has the time.

use super::cbc::{CbcOpener, CbcSealer, IV_LEN, KEY_LEN};
use super::keys::{End, KEY_BLOCK_LEN};
use super::padded_mac::{Hash, PREFIX_LEN};
use super::record::{HEADER_LEN, Header, Kind, VERSION};
use super::{PLAIN_MAX, Suite, TlsError};
use crate::auth::secret::Secret;
use crate::rng::Rng;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};
use core::ops::Range;
use zeroize::Zeroizing;

const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;

/// Bytes that a sealed record is longer than what is in it, at most.
pub(super) const OVERHEAD_MAX: usize = HEADER_LEN + IV_LEN + 32 + 16;

/// Seals the records of one direction.
pub(super) struct Sealer<R> {
    seal: Arc<Seal>,
    number: u64,
    rng: R,
}

enum Seal {
    Poly(Poly),
    Cbc(Box<CbcSealer>),
}

/// Opens the records of one direction.
pub(super) struct Opener {
    open: Arc<Open>,
    number: u64,
}

enum Open {
    Poly(Poly),
    Cbc(Box<CbcOpener>),
}

/// Cuts the keys of both directions from the key block. `ours` is this end.
pub(super) fn protection<R: Rng>(
    suite: Suite,
    block: &Secret<KEY_BLOCK_LEN>,
    ours: End,
    rng: R,
) -> (Sealer<R>, Opener) {
    let (theirs, ours) = match ours {
        End::Client => (1, 0),
        End::Server => (0, 1),
    };
    let block = block.expose();
    let (seal, open) = match suite {
        Suite::ChaCha20Poly1305 => {
            let poly = |end: usize| Poly::new(&cut(block, 32 * end), &cut(block, 64 + NONCE_LEN * end));
            (Seal::Poly(poly(ours)), Open::Poly(poly(theirs)))
        }
        Suite::Aes128CbcSha256 => cbc(Hash::Sha256, block, ours, theirs),
        Suite::Aes128CbcSha1 => cbc(Hash::Sha1, block, ours, theirs),
    };
    (Sealer { seal: Arc::new(seal), number: 0, rng }, Opener { open: Arc::new(open), number: 0 })
}

/// The keys of both MACs stand before those of both ciphers, the client's first.
fn cbc(hash: Hash, block: &[u8; KEY_BLOCK_LEN], ours: usize, theirs: usize) -> (Seal, Open) {
    let mac = |end: usize| &block[hash.len() * end..][..hash.len()];
    let key = |end: usize| cut(block, 2 * hash.len() + KEY_LEN * end);
    let seal = CbcSealer::new(hash, &key(ours), mac(ours));
    let open = CbcOpener::new(hash, &key(theirs), mac(theirs));
    (Seal::Cbc(Box::new(seal)), Open::Cbc(Box::new(open)))
}

fn cut<const N: usize>(block: &[u8; KEY_BLOCK_LEN], at: usize) -> Zeroizing<[u8; N]> {
    let mut part = Zeroizing::new([0; N]);
    part.copy_from_slice(&block[at..at + N]);
    part
}

impl<R: Rng> Sealer<R> {
    /// Appends one record that holds `content`, at most [`PLAIN_MAX`] bytes.
    pub(super) fn seal(&mut self, kind: Kind, content: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        let (prefix, iv) = self.begin(kind, content)?;
        self.seal.seal(&prefix, kind, &iv, content, out)
    }

    /// One record of content that has its number, to be sealed by whoever has the time.
    pub(super) fn cut(&mut self, content: &[u8]) -> Result<Unsealed, TlsError> {
        let (prefix, iv) = self.begin(Kind::Data, content)?;
        Ok(Unsealed { seal: self.seal.clone(), prefix, iv, content: content.to_vec() })
    }

    fn begin(&mut self, kind: Kind, content: &[u8]) -> Result<([u8; PREFIX_LEN], [u8; IV_LEN]), TlsError> {
        if content.len() > PLAIN_MAX {
            return Err(TlsError::TooLong(content.len()));
        }
        let prefix = prefix(next(&mut self.number)?, kind, content.len());
        let mut iv = [0; IV_LEN];
        if let Seal::Cbc(_) = *self.seal {
            self.rng.fill(&mut iv);
        }
        Ok((prefix, iv))
    }
}

/// Content of a record that is not sealed yet. Records are sent in the order in which they were cut.
pub struct Unsealed {
    seal: Arc<Seal>,
    prefix: [u8; PREFIX_LEN],
    iv: [u8; IV_LEN],
    content: Vec<u8>,
}

impl Unsealed {
    /// The record.
    ///
    /// # Errors
    /// None that a record of this length can have.
    pub fn seal(self) -> Result<Vec<u8>, TlsError> {
        let mut out = Vec::with_capacity(self.content.len() + OVERHEAD_MAX);
        self.seal.seal(&self.prefix, Kind::Data, &self.iv, &self.content, &mut out)?;
        Ok(out)
    }
}

impl Seal {
    fn seal(
        &self,
        prefix: &[u8; PREFIX_LEN],
        kind: Kind,
        iv: &[u8; IV_LEN],
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), TlsError> {
        match self {
            Seal::Poly(poly) => {
                let len = content.len() + TAG_LEN;
                out.extend_from_slice(&Header { kind, len }.encode());
                let begin = out.len();
                out.extend_from_slice(content);
                let tag = poly.seal(prefix, &mut out[begin..])?;
                out.extend_from_slice(&tag);
            }
            Seal::Cbc(cbc) => {
                let len = cbc.body_len(content.len());
                out.extend_from_slice(&Header { kind, len }.encode());
                cbc.seal(prefix, content, iv, out);
            }
        }
        Ok(())
    }
}

impl Opener {
    /// Opens the body of a record in place, and says where in it the content is.
    pub(super) fn open(&mut self, kind: Kind, body: &mut [u8]) -> Result<Range<usize>, TlsError> {
        self.open.open(next(&mut self.number)?, kind, body)
    }

    /// The same, to be done by whoever has the time.
    pub(super) fn take(&mut self, kind: Kind, body: &[u8]) -> Result<Sealed, TlsError> {
        let number = next(&mut self.number)?;
        Ok(Sealed { open: self.open.clone(), number, kind, body: body.to_vec() })
    }
}

/// A record that came and is not opened yet. What is in them counts in the order in which they came.
pub struct Sealed {
    open: Arc<Open>,
    number: u64,
    kind: Kind,
    body: Vec<u8>,
}

impl Sealed {
    /// Opens it. Whether it could be, [`super::Receiver::accept`] tells.
    pub fn open(mut self) -> Opened {
        let content = self.open.open(self.number, self.kind, &mut self.body);
        Opened { kind: self.kind, body: self.body, content }
    }

    /// Bytes of its body.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }
}

/// A record that was opened, or could not be.
pub struct Opened {
    pub(super) kind: Kind,
    pub(super) body: Vec<u8>,
    pub(super) content: Result<Range<usize>, TlsError>,
}

impl Open {
    fn open(&self, number: u64, kind: Kind, body: &mut [u8]) -> Result<Range<usize>, TlsError> {
        let content = match self {
            Open::Poly(poly) => poly.open(number, kind, body),
            Open::Cbc(cbc) => {
                let mut front = [0; PREFIX_LEN - 2];
                front.copy_from_slice(&prefix(number, kind, 0)[..PREFIX_LEN - 2]);
                cbc.open(front, body)
            }
        };
        let content = content.ok_or(TlsError::BadRecord)?;
        if content.len() > PLAIN_MAX { Err(TlsError::TooLong(content.len())) } else { Ok(content) }
    }
}

/// The number of the next record.
fn next(number: &mut u64) -> Result<u64, TlsError> {
    let this = *number;
    *number = this.checked_add(1).ok_or(TlsError::Exhausted)?;
    Ok(this)
}

/// What is sealed with a record and not sent: its number and header, with the length of the content.
fn prefix(number: u64, kind: Kind, len: usize) -> [u8; PREFIX_LEN] {
    let mut prefix = [0; PREFIX_LEN];
    prefix[..8].copy_from_slice(&number.to_be_bytes());
    prefix[8] = kind as u8;
    prefix[9..11].copy_from_slice(&VERSION);
    prefix[11..].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    prefix
}

/// ChaCha20-Poly1305, the number of the record mixed into the nonce.
struct Poly {
    cipher: ChaCha20Poly1305,
    iv: Zeroizing<[u8; NONCE_LEN]>,
}

impl Poly {
    fn new(key: &[u8; 32], iv: &[u8; NONCE_LEN]) -> Poly {
        Poly { cipher: ChaCha20Poly1305::new(key.into()), iv: Zeroizing::new(*iv) }
    }

    fn nonce(&self, number: &[u8]) -> Nonce {
        let mut nonce = *self.iv;
        nonce[4..].iter_mut().zip(number).for_each(|(byte, number)| *byte ^= number);
        nonce.into()
    }

    fn seal(&self, prefix: &[u8; PREFIX_LEN], content: &mut [u8]) -> Result<[u8; TAG_LEN], TlsError> {
        let nonce = self.nonce(&prefix[..8]);
        let tag = self.cipher.encrypt_inout_detached(&nonce, prefix, content.into());
        tag.map(Into::into).map_err(|_| TlsError::TooLong(PLAIN_MAX))
    }

    fn open(&self, number: u64, kind: Kind, body: &mut [u8]) -> Option<Range<usize>> {
        let (content, tag) = body.split_last_chunk_mut::<TAG_LEN>()?;
        let prefix = prefix(number, kind, content.len());
        let (nonce, tag, len) = (self.nonce(&prefix[..8]), Tag::from(*tag), content.len());
        self.cipher.decrypt_inout_detached(&nonce, &prefix, content.into(), &tag).ok()?;
        Some(0..len)
    }
}
