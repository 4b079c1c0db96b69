//! Requests and replies ↔ bytes: intro(5) and the pages behind it.
//!
//! A message is `size[4] type[1] tag[2]` and its body; the size counts itself. Must not know what is asked for.

use super::NO_FID;
use super::stat::{QID_LEN, Qid, Stat, StatChange};
use super::wire::{Malformed, Rest, put_text};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes in front of a body.
pub const HEADER_LEN: usize = 7;
/// Largest message that is agreed to: 64 KiB of data and what stands around it.
pub const FRAME_MAX: u32 = (64 << 10) + 24;
/// Smaller messages have no room for a stat or an error: they are not agreed to.
pub const FRAME_MIN: u32 = 512;
/// Names in one walk.
pub const WALK_MAX: usize = 16;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields have the manual's names and meanings: version(5) to stat(5)")]
pub enum Request {
    Version { msize: u32, version: String },
    Auth { afid: u32, uname: String, aname: String },
    Attach { fid: u32, afid: u32, uname: String, aname: String },
    Flush { oldtag: u16 },
    Walk { fid: u32, newfid: u32, names: Vec<String> },
    Open { fid: u32, mode: u8 },
    Create { fid: u32, name: String, perm: u32, mode: u8 },
    Read { fid: u32, offset: u64, count: u32 },
    Write { fid: u32, offset: u64, data: Bytes },
    Clunk { fid: u32 },
    Remove { fid: u32 },
    Stat { fid: u32 },
    Wstat { fid: u32, change: StatChange },
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields have the manual's names and meanings: version(5) to stat(5)")]
pub enum Reply {
    Version { msize: u32, version: String },
    Attach(Qid),
    Error(String),
    Flush,
    Walk(Vec<Qid>),
    Open { qid: Qid, iounit: u32 },
    Create { qid: Qid, iounit: u32 },
    Read(Bytes),
    Write(u32),
    Clunk,
    Remove,
    Stat(Stat),
    Wstat,
}

/// Type numbers of requests; a reply's is one more. 106 would be a request for an error.
mod number {
    pub(super) const VERSION: u8 = 100;
    pub(super) const AUTH: u8 = 102;
    pub(super) const ATTACH: u8 = 104;
    pub(super) const ERROR: u8 = 106;
    pub(super) const FLUSH: u8 = 108;
    pub(super) const WALK: u8 = 110;
    pub(super) const OPEN: u8 = 112;
    pub(super) const CREATE: u8 = 114;
    pub(super) const READ: u8 = 116;
    pub(super) const WRITE: u8 = 118;
    pub(super) const CLUNK: u8 = 120;
    pub(super) const REMOVE: u8 = 122;
    pub(super) const STAT: u8 = 124;
    pub(super) const WSTAT: u8 = 126;
}

impl Request {
    /// Reads a message without its size: its tag, and what it asks.
    pub fn parse(message: Bytes) -> Result<(u16, Result<Request, Malformed>), Malformed> {
        let mut rest = Rest(message);
        let (kind, tag) = (rest.u8()?, rest.u16()?);
        Ok((tag, Request::parse_body(kind, rest)))
    }

    fn parse_body(kind: u8, mut rest: Rest) -> Result<Request, Malformed> {
        let request = match kind {
            number::VERSION => Request::Version { msize: rest.u32()?, version: rest.text()? },
            number::AUTH => Request::Auth { afid: rest.u32()?, uname: rest.text()?, aname: rest.text()? },
            number::ATTACH => Request::Attach {
                fid: rest.u32()?,
                afid: rest.u32()?,
                uname: rest.text()?,
                aname: rest.text()?,
            },
            number::FLUSH => Request::Flush { oldtag: rest.u16()? },
            number::WALK => {
                let (fid, newfid, count) = (rest.u32()?, rest.u32()?, rest.u16()?);
                if usize::from(count) > WALK_MAX {
                    return Err(Malformed::Count(count.into()));
                }
                let names = (0..count).map(|_| rest.text()).collect::<Result<_, _>>()?;
                Request::Walk { fid, newfid, names }
            }
            number::OPEN => Request::Open { fid: rest.u32()?, mode: rest.u8()? },
            number::CREATE => {
                Request::Create { fid: rest.u32()?, name: rest.text()?, perm: rest.u32()?, mode: rest.u8()? }
            }
            number::READ => Request::Read { fid: rest.u32()?, offset: rest.u64()?, count: rest.u32()? },
            number::WRITE => {
                let (fid, offset, count) = (rest.u32()?, rest.u64()?, rest.u32()?);
                Request::Write { fid, offset, data: rest.take(count as usize)? }
            }
            number::CLUNK => Request::Clunk { fid: rest.u32()? },
            number::REMOVE => Request::Remove { fid: rest.u32()? },
            number::STAT => Request::Stat { fid: rest.u32()? },
            number::WSTAT => {
                let (fid, _len) = (rest.u32()?, rest.u16()?);
                Request::Wstat { fid, change: StatChange::of(&Stat::parse(&mut rest)?) }
            }
            other => return Err(Malformed::Type(other)),
        };
        rest.end()?;
        Ok(request)
    }

    /// The whole message.
    pub fn to_bytes(&self, tag: u16) -> Vec<u8> {
        match self {
            Request::Version { msize, version } => message(number::VERSION, tag, |out| {
                out.extend_from_slice(&msize.to_le_bytes());
                put_text(out, version);
            }),
            Request::Auth { afid, uname, aname } => message(number::AUTH, tag, |out| {
                out.extend_from_slice(&afid.to_le_bytes());
                put_text(out, uname);
                put_text(out, aname);
            }),
            Request::Attach { fid, afid, uname, aname } => message(number::ATTACH, tag, |out| {
                put_numbers(out, &[*fid, *afid]);
                put_text(out, uname);
                put_text(out, aname);
            }),
            Request::Flush { oldtag } => {
                message(number::FLUSH, tag, |out| out.extend_from_slice(&oldtag.to_le_bytes()))
            }
            Request::Walk { fid, newfid, names } => message(number::WALK, tag, |out| {
                put_numbers(out, &[*fid, *newfid]);
                out.extend_from_slice(&(names.len() as u16).to_le_bytes());
                names.iter().for_each(|name| put_text(out, name));
            }),
            Request::Open { fid, mode } => message(number::OPEN, tag, |out| {
                put_numbers(out, &[*fid]);
                out.push(*mode);
            }),
            Request::Create { fid, name, perm, mode } => message(number::CREATE, tag, |out| {
                put_numbers(out, &[*fid]);
                put_text(out, name);
                put_numbers(out, &[*perm]);
                out.push(*mode);
            }),
            Request::Read { fid, offset, count } => message(number::READ, tag, |out| {
                put_numbers(out, &[*fid]);
                out.extend_from_slice(&offset.to_le_bytes());
                put_numbers(out, &[*count]);
            }),
            Request::Write { fid, offset, data } => message(number::WRITE, tag, |out| {
                put_numbers(out, &[*fid]);
                out.extend_from_slice(&offset.to_le_bytes());
                put_numbers(out, &[data.len() as u32]);
                out.extend_from_slice(data);
            }),
            Request::Clunk { fid } => message(number::CLUNK, tag, |out| put_numbers(out, &[*fid])),
            Request::Remove { fid } => message(number::REMOVE, tag, |out| put_numbers(out, &[*fid])),
            Request::Stat { fid } => message(number::STAT, tag, |out| put_numbers(out, &[*fid])),
            Request::Wstat { fid, change } => message(number::WSTAT, tag, |out| {
                put_numbers(out, &[*fid]);
                put_stat(out, &change.to_stat());
            }),
        }
    }

    /// An attach without authentication.
    pub fn attach(fid: u32, uname: &str, aname: &str) -> Request {
        Request::Attach { fid, afid: NO_FID, uname: uname.into(), aname: aname.into() }
    }
}

/// What appends a body.
type Put<'a> = &'a dyn Fn(&mut Vec<u8>);

impl Reply {
    /// The whole message.
    pub fn to_bytes(&self, tag: u16) -> Vec<u8> {
        let (kind, put): (u8, Put<'_>) = match self {
            Reply::Version { msize, version } => (number::VERSION, &|out| {
                put_numbers(out, &[*msize]);
                put_text(out, version);
            }),
            Reply::Attach(qid) => (number::ATTACH, &|out| qid.put(out)),
            Reply::Error(text) => (number::ERROR, &|out| put_text(out, text)),
            Reply::Flush => (number::FLUSH, &|_| ()),
            Reply::Walk(qids) => (number::WALK, &|out| {
                out.extend_from_slice(&(qids.len() as u16).to_le_bytes());
                qids.iter().for_each(|qid| qid.put(out));
            }),
            Reply::Open { qid, iounit } => (number::OPEN, &|out| {
                qid.put(out);
                put_numbers(out, &[*iounit]);
            }),
            Reply::Create { qid, iounit } => (number::CREATE, &|out| {
                qid.put(out);
                put_numbers(out, &[*iounit]);
            }),
            Reply::Read(data) => (number::READ, &|out| {
                put_numbers(out, &[data.len() as u32]);
                out.extend_from_slice(data);
            }),
            Reply::Write(count) => (number::WRITE, &|out| put_numbers(out, &[*count])),
            Reply::Clunk => (number::CLUNK, &|_| ()),
            Reply::Remove => (number::REMOVE, &|_| ()),
            Reply::Stat(stat) => (number::STAT, &|out| put_stat(out, stat)),
            Reply::Wstat => (number::WSTAT, &|_| ()),
        };
        message(kind + 1, tag, put)
    }

    /// Reads a message without its size.
    pub fn parse(message: Bytes) -> Result<(u16, Reply), Malformed> {
        let mut rest = Rest(message);
        let (kind, tag) = (rest.u8()?, rest.u16()?);
        let reply = match kind.wrapping_sub(1) {
            number::VERSION => Reply::Version { msize: rest.u32()?, version: rest.text()? },
            number::ATTACH => Reply::Attach(Qid::parse(&mut rest)?),
            number::ERROR => Reply::Error(rest.text()?),
            number::FLUSH => Reply::Flush,
            number::WALK => {
                let count = rest.u16()?;
                if usize::from(count) * QID_LEN != rest.0.len() {
                    return Err(Malformed::Count(count.into()));
                }
                Reply::Walk((0..count).map(|_| Qid::parse(&mut rest)).collect::<Result<_, _>>()?)
            }
            number::OPEN => Reply::Open { qid: Qid::parse(&mut rest)?, iounit: rest.u32()? },
            number::CREATE => Reply::Create { qid: Qid::parse(&mut rest)?, iounit: rest.u32()? },
            number::READ => {
                let count = rest.u32()?;
                Reply::Read(rest.take(count as usize)?)
            }
            number::WRITE => Reply::Write(rest.u32()?),
            number::CLUNK => Reply::Clunk,
            number::REMOVE => Reply::Remove,
            number::STAT => {
                rest.u16()?;
                Reply::Stat(Stat::parse(&mut rest)?)
            }
            number::WSTAT => Reply::Wstat,
            _ => return Err(Malformed::Type(kind)),
        };
        rest.end()?;
        Ok((tag, reply))
    }
}

fn message(kind: u8, tag: u16, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::from([0; 4]);
    out.push(kind);
    out.extend_from_slice(&tag.to_le_bytes());
    put(&mut out);
    let len = (out.len() as u32).to_le_bytes();
    out[..4].copy_from_slice(&len);
    out
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// A stat that stands alone has its length in front twice.
fn put_stat(out: &mut Vec<u8>, stat: &Stat) {
    let bytes = stat.to_bytes();
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(&bytes);
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
