//! Records: their headers, their bounds, and pieces put together.

use super::{PLAIN_MAX, TlsError};
use alloc::vec::Vec;

/// Bytes of a header.
pub(super) const HEADER_LEN: usize = 5;
/// Bytes that a record's body has at most; 9front takes as many.
pub(super) const BODY_MAX: usize = PLAIN_MAX + 2048;
/// The version that stands in every record that we send.
pub(super) const VERSION: [u8; 2] = [3, 3];

/// What a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ChangeCipherSpec = 20,
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

/// What stands before a record's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) len: usize,
}

impl Header {
    /// Reads a header. Until the version is `settled`, a client may name an older one.
    pub(super) fn parse(bytes: [u8; HEADER_LEN], settled: bool) -> Result<Header, TlsError> {
        let [kind, major, minor, len @ ..] = bytes;
        if major != 3 || settled && minor != 3 {
            return Err(TlsError::NotTls(u16::from_be_bytes([major, minor])));
        }
        let kind = match kind {
            20 => Kind::ChangeCipherSpec,
            21 => Kind::Alert,
            22 => Kind::Handshake,
            23 => Kind::Data,
            _ => return Err(TlsError::Unexpected("a record of unknown kind")),
        };
        let len = usize::from(u16::from_be_bytes(len));
        if len > BODY_MAX { Err(TlsError::TooLong(len)) } else { Ok(Header { kind, len }) }
    }

    /// The header of a record of ours, whose body has at most [`BODY_MAX`] bytes.
    pub(super) fn encode(self) -> [u8; HEADER_LEN] {
        let [high, low] = u16::try_from(self.len).unwrap_or(u16::MAX).to_be_bytes();
        [self.kind as u8, VERSION[0], VERSION[1], high, low]
    }
}

/// A record that is not protected.
pub(super) fn push_clear(kind: Kind, body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&Header { kind, len: body.len() }.encode());
    out.extend_from_slice(body);
}

/// The bytes of one record so far.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    complete: bool,
}

impl Records {
    /// The next record, once all of it is there. `None`: `input` is used up.
    pub(super) fn next(
        &mut self,
        input: &mut &[u8],
        settled: bool,
    ) -> Result<Option<(Kind, &mut [u8])>, TlsError> {
        if core::mem::take(&mut self.complete) {
            self.bytes.clear();
        }
        self.gather(HEADER_LEN, input);
        let Some(header) = self.bytes.first_chunk::<HEADER_LEN>() else { return Ok(None) };
        let Header { kind, len } = Header::parse(*header, settled)?;
        self.gather(HEADER_LEN + len, input);
        self.complete = self.bytes.len() == HEADER_LEN + len;
        Ok(self.complete.then(|| (kind, &mut self.bytes[HEADER_LEN..])))
    }

    /// Takes bytes until there are `len`.
    fn gather(&mut self, len: usize, input: &mut &[u8]) {
        let missing = len.saturating_sub(self.bytes.len()).min(input.len());
        let (front, back) = input.split_at(missing);
        self.bytes.extend_from_slice(front);
        *input = back;
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_MAX, Header, Kind, Records, TlsError, push_clear};
    use alloc::vec::Vec;

    #[test]
    fn a_record_is_put_together_and_nothing_of_the_next_is_taken() {
        let mut wire = Vec::new();
        push_clear(Kind::Handshake, b"hello", &mut wire);
        push_clear(Kind::Alert, &[2, 40], &mut wire);
        for piece in 1..wire.len() {
            let (mut records, mut seen) = (Records::default(), Vec::new());
            for mut bytes in wire.chunks(piece) {
                while let Some((kind, body)) = records.next(&mut bytes, true).unwrap() {
                    seen.push((kind, body.to_vec()));
                }
                assert!(bytes.is_empty());
            }
            assert_eq!(seen, [(Kind::Handshake, b"hello".to_vec()), (Kind::Alert, [2, 40].to_vec())]);
        }
        let mut input = &wire[..];
        Records::default().next(&mut input, true).unwrap().unwrap();
        assert_eq!(input.len(), 7);
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        let parse = |bytes, settled| Header::parse(bytes, settled);
        assert_eq!(parse([22, 3, 1, 0, 5], false), Ok(Header { kind: Kind::Handshake, len: 5 }));
        assert_eq!(parse([22, 3, 1, 0, 5], true), Err(TlsError::NotTls(0x0301)));
        assert_eq!(parse(*b"GET /", false), Err(TlsError::NotTls(0x4554)));
        assert!(matches!(parse([24, 3, 3, 0, 5], true), Err(TlsError::Unexpected(_))));
        assert_eq!(parse([23, 3, 3, 0x48, 0], true), Ok(Header { kind: Kind::Data, len: BODY_MAX }));
        assert_eq!(parse([23, 3, 3, 0x48, 1], true), Err(TlsError::TooLong(BODY_MAX + 1)));
    }
}
