//! Numbers and strings as they stand in messages: little-endian, strings with their length in front.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends before it is complete.
    #[error("message cut off")]
    CutOff,
    /// It goes on when it should be complete.
    #[error("message longer than what it says")]
    TooLong,
    /// A string that is no UTF-8, or has a NUL in it.
    #[error("string that is no text")]
    Text,
    /// A type that nobody knows.
    #[error("unknown message type {0}")]
    Type(u8),
    /// More names than a walk may have, or a count that cannot be.
    #[error("impossible count {0}")]
    Count(u32),
}

/// What is still to be read.
pub(super) struct Rest(pub(super) Bytes);

impl Rest {
    pub(super) fn take(&mut self, len: usize) -> Result<Bytes, Malformed> {
        if len > self.0.len() {
            return Err(Malformed::CutOff);
        }
        Ok(self.0.split_to(len))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        taken[..].try_into().map_err(|_| Malformed::CutOff)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let len = usize::from(self.u16()?);
        let bytes = self.take(len)?;
        let text = core::str::from_utf8(&bytes).map_err(|_| Malformed::Text)?;
        if text.contains('\0') { Err(Malformed::Text) } else { Ok(text.into()) }
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed::TooLong) }
    }
}

/// A text, cut where its length has no room.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len().min(usize::from(u16::MAX));
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..len]);
}
