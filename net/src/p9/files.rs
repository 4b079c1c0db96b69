//! What a tree of files must be able to do to be served, and how it fails.

use super::stat::{Qid, Stat, StatChange};
use alloc::string::{String, ToString};
use bytes::Bytes;

/// Why something is not done. Clients show the text; programs look for Plan 9's usual ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No such file.
    #[error("file does not exist")]
    NotFound,
    /// Not by this client, or not at all.
    #[error("permission denied")]
    Permission,
    /// A walk through a file, or a new file in one.
    #[error("not a directory")]
    NotDirectory,
    /// A directory opened for writing.
    #[error("file is a directory")]
    IsDirectory,
    /// A new file where there is one.
    #[error("file already exists")]
    Exists,
    /// A read of a directory elsewhere than where the last one ended, or an offset that cannot be.
    #[error("bad offset in directory read")]
    DirectoryOffset,
    /// A write that would leave a gap, or go too far.
    #[error("bad offset in write")]
    WriteOffset,
    /// A fid that stands for nothing.
    #[error("fid unknown or out of range")]
    UnknownFid,
    /// A fid that stands for something else.
    #[error("fid already in use")]
    FidInUse,
    /// Too many.
    #[error("too many fids")]
    TooManyFids,
    /// An operation on a file that is not open for it.
    #[error("file not open for I/O")]
    NotOpen,
    /// An open, walk or create on one that is.
    #[error("file already open for I/O")]
    AlreadyOpen,
    /// No session.
    #[error("no version has been agreed on")]
    NoVersion,
    /// Nobody has to say who they are.
    #[error("authentication not required")]
    NoAuthentication,
    /// A message that is none.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// A wstat of something that cannot be changed.
    #[error("wstat prohibited")]
    Wstat,
    /// A read with less room than one entry takes.
    #[error("directory entry is larger than the read")]
    CountTooSmall,
    /// What the tree says.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// What `reason` shows.
    pub fn new(reason: impl core::fmt::Display) -> Error {
        Error::Other(reason.to_string())
    }
}

/// What an open asks for: open(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenMode {
    /// To read, or to execute, which is the same here.
    pub read: bool,
    /// To write.
    pub write: bool,
    /// To begin with an empty file.
    pub truncate: bool,
    /// To remove the file at the end.
    pub remove_at_end: bool,
}

impl OpenMode {
    /// Reads the mode of a message; `None` for bits that mean nothing.
    pub fn parse(mode: u8) -> Option<OpenMode> {
        const TRUNCATE: u8 = 0x10;
        const REMOVE_AT_END: u8 = 0x40;
        let (read, write) = match mode & !(TRUNCATE | REMOVE_AT_END) {
            0 | 3 => (true, false),
            1 => (false, true),
            2 => (true, true),
            _ => return None,
        };
        let remove_at_end = mode & REMOVE_AT_END != 0;
        Some(OpenMode { read, write, truncate: mode & TRUNCATE != 0, remove_at_end })
    }
}

/// A tree of files for one client. Who the client is, and what it may do, is the tree's to know.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Files {
    /// A place in the tree.
    type Node: Clone;
    /// What belongs to one open file.
    type Open;

    /// Where a client begins. `aname` names a tree, where there are several.
    async fn attach(&self, uname: &str, aname: &str) -> Result<Self::Node, Error>;

    /// One step: a name, or `..`.
    async fn walk(&self, from: &Self::Node, name: &str) -> Result<Self::Node, Error>;

    /// Who a place is.
    fn qid(&self, node: &Self::Node) -> Qid;

    /// What is said of it.
    async fn stat(&self, node: &Self::Node) -> Result<Stat, Error>;

    /// Opens it. A directory is only opened for reading, which the server sees to.
    async fn open(&self, node: &Self::Node, mode: OpenMode) -> Result<Self::Open, Error>;

    /// Makes a file in a directory, and opens it.
    async fn create(
        &self,
        parent: &Self::Node,
        name: &str,
        perm: u32,
        mode: OpenMode,
    ) -> Result<(Self::Node, Self::Open), Error>;

    /// At most `count` bytes of an open file.
    async fn read(
        &self,
        node: &Self::Node,
        open: &mut Self::Open,
        offset: u64,
        count: usize,
    ) -> Result<Bytes, Error>;

    /// Entry number `position` of an open directory; `None` behind the last.
    async fn entry(
        &self,
        node: &Self::Node,
        open: &mut Self::Open,
        position: u64,
    ) -> Result<Option<Stat>, Error>;

    /// Writes to an open file.
    async fn write(
        &self,
        node: &Self::Node,
        open: &mut Self::Open,
        offset: u64,
        data: Bytes,
    ) -> Result<(), Error>;

    /// What was written takes effect, and is durable.
    async fn sync(&self, node: &Self::Node, open: &mut Self::Open) -> Result<(), Error>;

    /// Takes a file away.
    async fn remove(&self, node: &Self::Node) -> Result<(), Error>;

    /// A place got another name: `from` is `to` now. Moves `node`, another fid's place, along if it was there or below.
    fn follow(&self, node: &mut Self::Node, from: &Self::Node, to: &Self::Node);

    /// Changes what is said of it. A new name makes `node` another one.
    async fn wstat(
        &self,
        node: &mut Self::Node,
        open: Option<&mut Self::Open>,
        change: &StatChange,
    ) -> Result<(), Error>;
}
