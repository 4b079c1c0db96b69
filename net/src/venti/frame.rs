//! Cutting a stream of bytes into frames: a length in front (two or four bytes by version), then that many
//! bytes.
//!
//! Each frame gets memory of its own, exactly as large as it is: a lump that a cache keeps holds no other
//! lump's bytes alive. A peer's promise of a large frame costs no more than [`MAX_FRAME`].

use super::Version;
use alloc::vec::Vec;
use bytes::Bytes;

/// Longest frame accepted: a write of 65,535 bytes. Lumps beyond [`super::MAX_LUMP`] are refused by name up
/// to here, as version 02 can send them; longer frames end the connection.
pub const MAX_FRAME: usize = 6 + 65_535;

/// A frame that is longer than this end takes. What follows it cannot be found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {length} bytes, more than {MAX_FRAME}")]
pub struct FrameTooLong {
    /// The length it claims.
    pub length: u32,
    /// The message's type and tag, where they arrived together with the length.
    pub type_and_tag: Option<(u8, u8)>,
}

/// Cuts one direction of a connection.
#[derive(Debug)]
pub struct FrameCutter {
    version: Version,
    length: [u8; 4],
    length_filled: usize,
    body: Vec<u8>,
}

impl FrameCutter {
    /// For a connection that speaks `version`.
    pub fn new(version: Version) -> FrameCutter {
        FrameCutter { version, length: [0; 4], length_filled: 0, body: Vec::new() }
    }

    /// Whether part of a frame has come, and the rest has not.
    pub fn is_within_frame(&self) -> bool {
        self.length_filled > 0
    }

    /// Takes bytes from the front of `input`, at most one frame. `None`: `input` is used up and the frame
    /// goes on. The frame comes without its length; it may be empty.
    pub fn cut(&mut self, input: &mut &[u8]) -> Result<Option<Bytes>, FrameTooLong> {
        let width = self.version.length_width();
        while self.length_filled < width {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            self.length[self.length_filled] = byte;
            self.length_filled += 1;
        }
        let length = match self.version {
            Version::V02 => u32::from(u16::from_be_bytes([self.length[0], self.length[1]])),
            Version::V04 => u32::from_be_bytes(self.length),
        };
        let wanted = length as usize;
        if wanted > MAX_FRAME {
            let type_and_tag = input.first_chunk().map(|&[code, tag]| (code, tag));
            return Err(FrameTooLong { length, type_and_tag });
        }
        if self.body.capacity() == 0 {
            self.body = Vec::with_capacity(wanted);
        }
        let (front, rest) = input.split_at(input.len().min(wanted - self.body.len()));
        self.body.extend_from_slice(front);
        *input = rest;
        if self.body.len() < wanted {
            return Ok(None);
        }
        self.length_filled = 0;
        Ok(Some(Bytes::from(core::mem::take(&mut self.body))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(version: Version, bodies: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for body in bodies {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            stream.extend_from_slice(&length[4 - version.length_width()..]);
            stream.extend_from_slice(body);
        }
        stream
    }

    fn cut_all(version: Version, stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, FrameTooLong> {
        let mut cutter = FrameCutter::new(version);
        let mut frames = Vec::new();
        for mut input in stream.chunks(piece) {
            while let Some(frame) = cutter.cut(&mut input)? {
                frames.push(frame.to_vec());
            }
            assert!(input.is_empty());
        }
        Ok(frames)
    }

    #[test]
    fn refuses_a_frame_beyond_the_limit_and_says_whose() {
        let mut stream = Vec::from((MAX_FRAME as u32 + 1).to_be_bytes());
        stream.extend_from_slice(&[14, 9, 0]);
        let error = cut_all(Version::V04, &stream, 100).unwrap_err();
        assert_eq!(error, FrameTooLong { length: MAX_FRAME as u32 + 1, type_and_tag: Some((14, 9)) });
        assert_eq!(cut_all(Version::V04, &[0xff; 4], 1).unwrap_err().type_and_tag, None);
    }

    #[test]
    fn a_large_promise_costs_one_frame_of_memory() {
        let mut cutter = FrameCutter::new(Version::V04);
        let mut promise = &(MAX_FRAME as u32).to_be_bytes()[..];
        assert_eq!(cutter.cut(&mut promise), Ok(None));
        assert!(cutter.body.capacity() <= MAX_FRAME && cutter.is_within_frame());
    }

    #[test]
    fn knows_whether_a_frame_is_unfinished() {
        let mut cutter = FrameCutter::new(Version::V02);
        for (byte, within) in [(0, true), (2, true), (7, true), (8, false)] {
            assert_eq!(cutter.cut(&mut &[byte][..]).map(|frame| frame.is_none()), Ok(within));
            assert_eq!(cutter.is_within_frame(), within);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn cuts_what_was_framed_however_it_arrives(
            bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            piece in 1usize..400,
            wide in any::<bool>(),
        ) {
            let version = if wide { Version::V04 } else { Version::V02 };
            prop_assert_eq!(cut_all(version, &framed(version, &bodies), piece).unwrap(), bodies);
        }

        #[test]
        fn any_bytes_are_frames_or_too_long(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
            wide in any::<bool>(),
        ) {
            let version = if wide { Version::V04 } else { Version::V02 };
            let mut cutter = FrameCutter::new(version);
            let mut input = &bytes[..];
            while let Ok(Some(frame)) = cutter.cut(&mut input) {
                prop_assert!(frame.len() <= MAX_FRAME);
            }
            prop_assert!(cutter.body.capacity() <= MAX_FRAME);
        }
    }
}
