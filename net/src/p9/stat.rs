//! What is said of a file: stat(5).

use super::wire::{Malformed, Rest, put_text};
use alloc::string::String;
use alloc::vec::Vec;

/// Bits of [`Qid::kind`].
pub mod qid_kind {
    /// A directory.
    pub const DIRECTORY: u8 = 0x80;
    /// A file.
    pub const FILE: u8 = 0;
}

/// Bits of [`Stat::mode`] above the permissions.
pub mod mode {
    /// A directory.
    pub const DIRECTORY: u32 = 0x8000_0000;
    /// Writes only append.
    pub const APPEND: u32 = 0x4000_0000;
    /// One opener at a time.
    pub const EXCLUSIVE: u32 = 0x2000_0000;
}

/// A file's identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Qid {
    /// See [`qid_kind`].
    pub kind: u8,
    /// Changes with the content; 0 where nobody knows.
    pub version: u32,
    /// No two files have the same.
    pub path: u64,
}

/// Bytes of a qid.
pub(super) const QID_LEN: usize = 13;

impl Qid {
    /// Whether it is a directory's.
    pub fn is_directory(&self) -> bool {
        self.kind & qid_kind::DIRECTORY != 0
    }

    pub(super) fn parse(rest: &mut Rest) -> Result<Qid, Malformed> {
        Ok(Qid { kind: rest.u8()?, version: rest.u32()?, path: rest.u64()? })
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.push(self.kind);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.path.to_le_bytes());
    }
}

/// A file. Servers' `type` and `dev`, which mean nothing to clients, are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Its identity.
    pub qid: Qid,
    /// Permissions, and bits of [`mode`].
    pub mode: u32,
    /// Seconds since 1970 of the last access.
    pub atime: u32,
    /// Seconds since 1970 of the last change.
    pub mtime: u32,
    /// Bytes; 0 for a directory.
    pub length: u64,
    /// Its name in its directory; `/` for the root.
    pub name: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
    /// Who changed it last.
    pub muid: String,
}

impl Stat {
    /// The stat with its length in front, as it stands in directories.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::from([0; 2]);
        out.extend_from_slice(&[0; 2 + 4]);
        self.qid.put(&mut out);
        for number in [self.mode, self.atime, self.mtime] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.length.to_le_bytes());
        for text in [&self.name, &self.uid, &self.gid, &self.muid] {
            put_text(&mut out, text);
        }
        let len = u16::try_from(out.len() - 2).unwrap_or(u16::MAX);
        out[..2].copy_from_slice(&len.to_le_bytes());
        out
    }

    pub(super) fn parse(rest: &mut Rest) -> Result<Stat, Malformed> {
        let len = usize::from(rest.u16()?);
        let mut rest = Rest(rest.take(len)?);
        rest.take(2 + 4)?;
        let qid = Qid::parse(&mut rest)?;
        let [mode, atime, mtime] = [rest.u32()?, rest.u32()?, rest.u32()?];
        let length = rest.u64()?;
        let [name, uid, gid, muid] = [rest.text()?, rest.text()?, rest.text()?, rest.text()?];
        rest.end()?;
        Ok(Stat { qid, mode, atime, mtime, length, name, uid, gid, muid })
    }

    /// The stats in what was read from a directory.
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Stat>, Malformed> {
        let mut rest = Rest(bytes::Bytes::copy_from_slice(bytes));
        let mut stats = Vec::new();
        while !rest.0.is_empty() {
            stats.push(Stat::parse(&mut rest)?);
        }
        Ok(stats)
    }
}

/// What a wstat asks for: `None` leaves a field as it is. If all are, what was written is to be made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatChange {
    /// A new name.
    pub name: Option<String>,
    /// New permissions and bits.
    pub mode: Option<u32>,
    /// A new time of change.
    pub mtime: Option<u32>,
    /// A new length.
    pub length: Option<u64>,
    /// A new group.
    pub gid: Option<String>,
    /// Something that nobody may change.
    pub other: bool,
}

impl StatChange {
    /// Whether it only asks for what was written to be made durable.
    pub fn is_sync(&self) -> bool {
        *self == StatChange::default()
    }

    /// What differs from "don't touch": all ones, or an empty string.
    pub(super) fn of(stat: &Stat) -> StatChange {
        let number = |value: u32| (value != u32::MAX).then_some(value);
        let text = |value: &String| (!value.is_empty()).then(|| value.clone());
        let untouched = Qid { kind: u8::MAX, version: u32::MAX, path: u64::MAX };
        StatChange {
            name: text(&stat.name),
            mode: number(stat.mode),
            mtime: number(stat.mtime),
            length: (stat.length != u64::MAX).then_some(stat.length),
            gid: text(&stat.gid),
            // Linux names itself as who changed the file, and sets when it was read.
            other: stat.qid != untouched || !stat.uid.is_empty(),
        }
    }

    /// The stat that asks for it.
    pub fn to_stat(&self) -> Stat {
        let untouched = Qid { kind: u8::MAX, version: u32::MAX, path: u64::MAX };
        Stat {
            qid: if self.other { Qid::default() } else { untouched },
            mode: self.mode.unwrap_or(u32::MAX),
            atime: u32::MAX,
            mtime: self.mtime.unwrap_or(u32::MAX),
            length: self.length.unwrap_or(u64::MAX),
            name: self.name.clone().unwrap_or_default(),
            gid: self.gid.clone().unwrap_or_default(),
            ..Stat::default()
        }
    }
}
