//! Messages that arrive in pieces: nothing is taken that belongs to what follows.

use alloc::vec::Vec;

/// No zero byte ended the text where it had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text does not end within {max} bytes")]
pub struct Endless {
    /// How long it may be, in bytes.
    pub max: usize,
}

/// Bytes of one message so far.
#[derive(Default)]
pub(super) struct Gather(Vec<u8>);

impl Gather {
    /// A message of `N` bytes, once they are there. `None`: `input` is used up.
    pub(super) fn exactly<const N: usize>(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        let missing = N.saturating_sub(self.0.len()).min(input.len());
        let (front, back) = input.split_at(missing);
        self.0.extend_from_slice(front);
        *input = back;
        let message = self.0.as_slice().try_into().ok()?;
        self.0.clear();
        Some(message)
    }

    /// A text of at most `max` bytes that a zero byte ends, without that. `None`: `input` is used up.
    pub(super) fn text(&mut self, input: &mut &[u8], max: usize) -> Result<Option<Vec<u8>>, Endless> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            if byte == 0 {
                return Ok(Some(core::mem::take(&mut self.0)));
            }
            if self.0.len() >= max {
                return Err(Endless { max });
            }
            self.0.push(byte);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::{Endless, Gather};

    #[test]
    fn takes_what_belongs_to_the_message_and_no_more() {
        let mut gather = Gather::default();
        let mut input = &b"ab"[..];
        assert_eq!(gather.exactly::<3>(&mut input), None);
        let mut input = &b"cdef"[..];
        assert_eq!(gather.exactly(&mut input), Some(*b"abc"));
        assert_eq!(gather.exactly(&mut input), Some(*b"de"));
        let mut input = &b"gh\0ij"[..];
        assert_eq!(gather.text(&mut input, 2).unwrap().unwrap(), b"gh");
        assert_eq!(input, b"ij");
    }

    #[test]
    fn a_text_has_an_end() {
        assert_eq!(Gather::default().text(&mut &b"abc"[..], 2), Err(Endless { max: 2 }));
    }
}
