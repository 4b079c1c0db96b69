//! One frame ↔ one message. A frame is type u8, tag u8, body; it must be used up exactly.

use super::Version;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::fmt;
use storage::score::{SCORE_LEN, Score};

/// Most blocks that one [`Message::Thave`] asks for.
pub const MAX_ASKED: usize = 1024;
/// Bytes that name a block there: its score, and its type.
const NAME_LEN: usize = SCORE_LEN + 1;

/// Longest string in a message, in bytes.
pub const MAX_TEXT: usize = 1024;

/// The codes of the message types.
pub mod code {
    #![allow(missing_docs, reason = "the names are the protocol's own")]
    pub const R_ERROR: u8 = 1;
    pub const T_PING: u8 = 2;
    pub const R_PING: u8 = 3;
    pub const T_HELLO: u8 = 4;
    pub const R_HELLO: u8 = 5;
    pub const T_GOODBYE: u8 = 6;
    pub const T_READ: u8 = 12;
    pub const R_READ: u8 = 13;
    pub const T_WRITE: u8 = 14;
    pub const R_WRITE: u8 = 15;
    pub const T_SYNC: u8 = 16;
    pub const R_SYNC: u8 = 17;
    pub const T_HAVE: u8 = 64;
    pub const R_HAVE: u8 = 65;
    pub const T_NAMES: u8 = 66;
    pub const R_NAMES: u8 = 67;
}

/// A string of the protocol: at most [`MAX_TEXT`] bytes, of any values.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Bytes);

impl Text {
    /// What `value` shows, cut at [`MAX_TEXT`] bytes.
    pub fn new(value: impl fmt::Display) -> Text {
        let mut text = Bytes::from(value.to_string());
        text.truncate(MAX_TEXT);
        Text(text)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Text {
    /// Bytes that are no UTF-8, and control characters, show as U+FFFD: a peer's text cannot steer a
    /// terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                fmt::Write::write_char(
                    f,
                    if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter },
                )?;
            }
            if !chunk.invalid().is_empty() {
                fmt::Write::write_char(f, char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

/// What a client says of itself. Cryptography and codecs are historical: lists are sent empty and ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Must be the version that the greeting chose.
    pub version: Text,
    /// The user's name; stock tools send `anonymous`.
    pub uid: Text,
    /// 0 none, 1 authenticated, 2 weak, 3 strong encryption. Always 0.
    pub strength: u8,
    /// Numbers of ciphers on offer, at most 255.
    pub crypto: Bytes,
    /// Numbers of codecs on offer, at most 255.
    pub codec: Bytes,
}

/// A message, apart from its tag. Names are the protocol's. Block types are raw numbers, perhaps illegal
/// ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The request failed; why.
    Rerror(Text),
    /// Are you there?
    Tping,
    /// I am.
    Rping,
    /// The first request of a connection.
    Thello(Hello),
    /// The answer to it.
    Rhello {
        /// The server's name; stock servers send `anonymous`.
        sid: Text,
        /// Chosen cipher: 0, none.
        crypto: u8,
        /// Chosen codec: 0, none.
        codec: u8,
    },
    /// The client leaves. There is no reply.
    Tgoodbye,
    /// Asks for a block.
    Tread {
        /// Its score.
        score: Score,
        /// Its type's number on the wire.
        block_type: u8,
        /// The longest block wanted, in bytes.
        count: u32,
    },
    /// The block.
    Rread(Bytes),
    /// Stores a block.
    Twrite {
        /// Its type's number on the wire.
        block_type: u8,
        /// Its bytes.
        lump: Bytes,
    },
    /// The score of the block that was stored.
    Rwrite(Score),
    /// Make durable what was written.
    Tsync,
    /// It is.
    Rsync,
    /// Which of these blocks do you lack? Only for servers that announce [`super::greeting::HAVE`]; an extension of ours.
    Thave(Vec<(Score, u8)>),
    /// A [`Presence`]'s number for each, in order.
    Rhave(Bytes),
    /// A question about names. Only for servers that announce [`super::greeting::NAMES`]; an extension of ours.
    Tnames(Bytes),
    /// Its answer.
    Rnames(Bytes),
}

/// Whether a server has a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has not, and expects it from who asked.
    Missing,
    /// It has; a sync that follows covers it.
    Here,
    /// It has not, and expects it from somebody else who asked before. Ask again.
    Promised,
}

impl Presence {
    /// Its number on the wire.
    pub fn to_wire(self) -> u8 {
        self as u8
    }

    /// The presence of this number.
    pub fn from_wire(number: u8) -> Option<Presence> {
        [Presence::Missing, Presence::Here, Presence::Promised].get(usize::from(number)).copied()
    }
}

/// A frame that is no message. With a tag an Rerror can answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Fewer than two bytes.
    #[error("message without type or tag")]
    NoTag,
    /// A type that no implementation serves (7, 8..=11, 18 and up but for ours).
    #[error("unknown request")]
    UnknownType {
        /// The type.
        code: u8,
        /// The tag.
        tag: u8,
    },
    /// The body is too short, too long, or holds a string that is too long.
    #[error("malformed message of type {code}")]
    Body {
        /// The type.
        code: u8,
        /// The tag.
        tag: u8,
    },
}

impl Malformed {
    /// The tag to answer with.
    pub fn tag(self) -> Option<u8> {
        match self {
            Malformed::NoTag => None,
            Malformed::UnknownType { tag, .. } | Malformed::Body { tag, .. } => Some(tag),
        }
    }
}

/// A [`Message`] with the tag that joins request and reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The tag.
    pub tag: u8,
    /// The message.
    pub message: Message,
}

impl Tagged {
    /// Reads a frame (without its length). Lumps are parts of `frame`, not copies.
    pub fn parse(mut frame: Bytes) -> Result<Tagged, Malformed> {
        let (Ok(code), Ok(tag)) = (frame.try_get_u8(), frame.try_get_u8()) else {
            return Err(Malformed::NoTag);
        };
        if !matches!(code, 1..=6 | 12..=17 | code::T_HAVE..=code::R_NAMES) {
            return Err(Malformed::UnknownType { code, tag });
        }
        let message = parse_body(code, frame).ok_or(Malformed::Body { code, tag })?;
        Ok(Tagged { tag, message })
    }

    /// Appends the frame, length included, to `out`, except the lump that ends it, which is returned for the
    /// caller to send after it.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Option<Bytes> {
        let start = out.len();
        out.resize(start + version.length_width(), 0);
        out.extend_from_slice(&[self.message.code(), self.tag]);
        let lump = encode_body(&self.message, out);
        let body = out.len() - start - version.length_width() + lump.as_ref().map_or(0, Bytes::len);
        assert!(body <= super::frame::MAX_FRAME, "a message of ours fits a frame");
        let length = (body as u32).to_be_bytes();
        out[start..start + version.length_width()].copy_from_slice(&length[4 - version.length_width()..]);
        lump
    }
}

impl Message {
    /// The number of its type.
    pub fn code(&self) -> u8 {
        match self {
            Message::Rerror(_) => code::R_ERROR,
            Message::Tping => code::T_PING,
            Message::Rping => code::R_PING,
            Message::Thello(_) => code::T_HELLO,
            Message::Rhello { .. } => code::R_HELLO,
            Message::Tgoodbye => code::T_GOODBYE,
            Message::Tread { .. } => code::T_READ,
            Message::Rread(_) => code::R_READ,
            Message::Twrite { .. } => code::T_WRITE,
            Message::Rwrite(_) => code::R_WRITE,
            Message::Tsync => code::T_SYNC,
            Message::Rsync => code::R_SYNC,
            Message::Thave(_) => code::T_HAVE,
            Message::Rhave(_) => code::R_HAVE,
            Message::Tnames(_) => code::T_NAMES,
            Message::Rnames(_) => code::R_NAMES,
        }
    }
}

fn parse_body(code: u8, mut body: Bytes) -> Option<Message> {
    let message = match code {
        code::R_ERROR => Message::Rerror(take_text(&mut body)?),
        code::T_PING => Message::Tping,
        code::R_PING => Message::Rping,
        code::T_HELLO => Message::Thello(Hello {
            version: take_text(&mut body)?,
            uid: take_text(&mut body)?,
            strength: body.try_get_u8().ok()?,
            crypto: take_list(&mut body)?,
            codec: take_list(&mut body)?,
        }),
        code::R_HELLO => Message::Rhello {
            sid: take_text(&mut body)?,
            crypto: body.try_get_u8().ok()?,
            codec: body.try_get_u8().ok()?,
        },
        code::T_GOODBYE => Message::Tgoodbye,
        code::T_READ => parse_read(&mut body)?,
        code::R_READ => Message::Rread(core::mem::take(&mut body)),
        code::T_WRITE => {
            let block_type = body.try_get_u8().ok()?;
            take_exact(&mut body, 3)?; // Three pad bytes, ignored.
            Message::Twrite { block_type, lump: core::mem::take(&mut body) }
        }
        code::R_WRITE => Message::Rwrite(take_score(&mut body)?),
        code::T_SYNC => Message::Tsync,
        code::R_SYNC => Message::Rsync,
        code::T_HAVE => Message::Thave(take_names(&mut body)?),
        code::R_HAVE => Message::Rhave(core::mem::take(&mut body)),
        code::T_NAMES => Message::Tnames(core::mem::take(&mut body)),
        code::R_NAMES => Message::Rnames(core::mem::take(&mut body)),
        _ => return None,
    };
    body.is_empty().then_some(message)
}

/// The count has two bytes or four, told apart by how much is left.
fn parse_read(body: &mut Bytes) -> Option<Message> {
    let score = take_score(body)?;
    let block_type = body.try_get_u8().ok()?;
    body.try_get_u8().ok()?; // One pad byte, ignored.
    let count =
        if body.len() == 2 { u32::from(body.try_get_u16().ok()?) } else { body.try_get_u32().ok()? };
    Some(Message::Tread { score, block_type, count })
}

fn take_exact(body: &mut Bytes, count: usize) -> Option<Bytes> {
    (body.len() >= count).then(|| body.split_to(count))
}

fn take_text(body: &mut Bytes) -> Option<Text> {
    let length = usize::from(body.try_get_u16().ok()?);
    (length <= MAX_TEXT).then_some(())?;
    take_exact(body, length).map(Text)
}

fn take_list(body: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(body.try_get_u8().ok()?);
    take_exact(body, length)
}

fn take_names(body: &mut Bytes) -> Option<Vec<(Score, u8)>> {
    let count = body.len() / NAME_LEN;
    (1..=MAX_ASKED).contains(&count).then_some(())?;
    (0..count).map(|_| Some((take_score(body)?, body.try_get_u8().ok()?))).collect()
}

fn take_score(body: &mut Bytes) -> Option<Score> {
    let mut score = [0; SCORE_LEN];
    body.try_copy_to_slice(&mut score).ok()?;
    Some(Score(score))
}

fn encode_body(message: &Message, out: &mut Vec<u8>) -> Option<Bytes> {
    match message {
        Message::Rerror(text) => put_text(text, out),
        Message::Tping | Message::Rping | Message::Tgoodbye | Message::Tsync | Message::Rsync => {}
        Message::Thello(hello) => {
            put_text(&hello.version, out);
            put_text(&hello.uid, out);
            out.push(hello.strength);
            put_list(&hello.crypto, out);
            put_list(&hello.codec, out);
        }
        Message::Rhello { sid, crypto, codec } => {
            put_text(sid, out);
            out.extend_from_slice(&[*crypto, *codec]);
        }
        Message::Tread { score, block_type, count } => {
            out.extend_from_slice(&score.0);
            out.extend_from_slice(&[*block_type, 0]);
            match u16::try_from(*count) {
                Ok(count) => out.extend_from_slice(&count.to_be_bytes()),
                Err(_) => out.extend_from_slice(&count.to_be_bytes()),
            }
        }
        Message::Rread(lump) => return Some(lump.clone()),
        Message::Twrite { block_type, lump } => {
            out.extend_from_slice(&[*block_type, 0, 0, 0]);
            return Some(lump.clone());
        }
        Message::Rwrite(score) => out.extend_from_slice(&score.0),
        Message::Thave(names) => {
            for (score, block_type) in names {
                out.extend_from_slice(&score.0);
                out.push(*block_type);
            }
        }
        Message::Rhave(bytes) | Message::Tnames(bytes) | Message::Rnames(bytes) => {
            out.extend_from_slice(bytes)
        }
    }
    None
}

fn put_text(text: &Text, out: &mut Vec<u8>) {
    let length = u16::try_from(text.0.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&text.0);
}

fn put_list(list: &Bytes, out: &mut Vec<u8>) {
    let length = u8::try_from(list.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&list[..usize::from(length)]);
}

#[cfg(test)]
mod tests;
