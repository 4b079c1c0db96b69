//! What both ends do alike during the handshake: records in, messages out, a hash of all that was said.

use super::alert::{self, TlsError};
use super::protect::{Opener, Sealer};
use super::record::{Kind, Records, push_clear};
use super::{Channel, PLAIN_MAX};
use crate::rng::Rng;
use alloc::boxed::Box;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Bytes of the longest handshake message that is read. Hellos with everything in them are shorter.
const MESSAGE_MAX: usize = 16_384;
const HEAD: usize = 4;

/// What was heard.
pub(super) enum Heard {
    /// A message, with its head.
    Message(Message),
    /// What follows is protected.
    NewKeys,
}

/// A handshake message.
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn kind(&self) -> u8 {
        self.0.first().copied().unwrap_or(0)
    }

    pub(super) fn body(&self) -> &[u8] {
        self.0.get(HEAD..).unwrap_or_default()
    }
}

/// One end's view of a handshake.
pub(super) struct Conversation<R> {
    records: Records,
    /// Bytes of messages that were not handed out.
    messages: Vec<u8>,
    said: Sha256,
    /// The version is settled.
    settled: bool,
    opener: Option<Opener>,
    sealer: Option<Sealer<R>>,
}

impl<R: Rng> Conversation<R> {
    pub(super) fn new() -> Conversation<R> {
        Conversation {
            records: Records::default(),
            messages: Vec::new(),
            said: Sha256::new(),
            settled: false,
            opener: None,
            sealer: None,
        }
    }

    /// The next thing that the peer says. `None`: `input` is used up.
    pub(super) fn hear(&mut self, input: &mut &[u8]) -> Result<Option<Heard>, TlsError> {
        loop {
            if let Some(message) = self.message()? {
                return Ok(Some(Heard::Message(message)));
            }
            let Some((kind, body)) = self.records.next(input, self.settled)? else { return Ok(None) };
            let content = match &mut self.opener {
                Some(opener) => {
                    let content = opener.open(kind, body)?;
                    &body[content]
                }
                None if body.is_empty() => return Err(TlsError::Malformed("an empty record")),
                None if body.len() > PLAIN_MAX => return Err(TlsError::TooLong(body.len())),
                None => body,
            };
            match kind {
                Kind::Handshake => self.messages.extend_from_slice(content),
                Kind::ChangeCipherSpec if content != [1] => {
                    return Err(TlsError::Malformed("a ChangeCipherSpec"));
                }
                Kind::ChangeCipherSpec if self.opener.is_some() || !self.messages.is_empty() => {
                    return Err(TlsError::Unexpected("a ChangeCipherSpec"));
                }
                Kind::ChangeCipherSpec => return Ok(Some(Heard::NewKeys)),
                Kind::Alert if alert::heard(content, true)? => return Err(TlsError::Truncated),
                Kind::Alert => {}
                Kind::Data => return Err(TlsError::Unexpected("application data")),
            }
        }
    }

    /// The first message, if all of it is there.
    fn message(&mut self) -> Result<Option<Message>, TlsError> {
        let Some([_, high, middle, low]) = self.messages.first_chunk::<HEAD>() else { return Ok(None) };
        let len = HEAD + u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        if len > MESSAGE_MAX {
            return Err(TlsError::Malformed("a handshake message"));
        }
        if self.messages.len() < len {
            return Ok(None);
        }
        let rest = self.messages.split_off(len);
        Ok(Some(Message(core::mem::replace(&mut self.messages, rest))))
    }

    /// From now on, records have the version that was agreed on.
    pub(super) fn settle(&mut self) {
        self.settled = true;
    }

    /// What the peer sends from now on is protected.
    pub(super) fn open_with(&mut self, opener: Opener) {
        self.opener = Some(opener);
    }

    /// A message that was heard counts as said.
    pub(super) fn note(&mut self, message: &Message) {
        self.said.update(&message.0);
    }

    /// The hash of all that was said.
    pub(super) fn said(&self) -> [u8; 32] {
        self.said.clone().finalize().into()
    }

    /// Says messages, in one record.
    pub(super) fn say(&mut self, messages: &[u8], out: &mut Vec<u8>) -> Result<(), TlsError> {
        self.said.update(messages);
        match &mut self.sealer {
            Some(sealer) => sealer.seal(Kind::Handshake, messages, out)?,
            None => push_clear(Kind::Handshake, messages, out),
        }
        Ok(())
    }

    /// Says that what follows is protected.
    pub(super) fn seal_with(&mut self, sealer: Sealer<R>, out: &mut Vec<u8>) {
        push_clear(Kind::ChangeCipherSpec, &[1], out);
        self.sealer = Some(sealer);
    }

    /// What to send before closing because of `error`, if anything.
    pub(super) fn last_words(&mut self, error: &TlsError) -> Option<Vec<u8>> {
        let alert = error.alert()?.bytes();
        let mut out = Vec::new();
        match &mut self.sealer {
            Some(sealer) => sealer.seal(Kind::Alert, &alert, &mut out).ok()?,
            None => push_clear(Kind::Alert, &alert, &mut out),
        }
        Some(out)
    }

    /// The end of the handshake. Nothing may be left of it.
    pub(super) fn channel(&mut self) -> Result<Box<Channel<R>>, TlsError> {
        match (self.sealer.take(), self.opener.take()) {
            (Some(sealer), Some(opener)) if self.messages.is_empty() => {
                Ok(Box::new(Channel::new(sealer, opener)))
            }
            _ => Err(TlsError::Unexpected("a handshake message")),
        }
    }
}
