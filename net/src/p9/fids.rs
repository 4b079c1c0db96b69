//! One client's session: its fids, and what each request does with them.
//!
//! Knows the rules of section 5: what may be walked, opened, read and in which order. Must not know bytes or streams,
//! nor what is in the tree.

use super::files::{Error, Files, OpenMode};
use super::message::{FRAME_MAX, FRAME_MIN, Reply, Request};
use super::stat::{Stat, mode};
use super::{NO_FID, NO_TAG, VERSION};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use hashbrown::HashMap;

/// Fids of one client.
const FIDS_MAX: usize = 4096;
/// Bytes around the data of a read or write.
const IO_HEADER: u32 = 24;

/// What a fid stands for.
struct Fid<F: Files> {
    node: F::Node,
    open: Option<Open<F>>,
}

struct Open<F: Files> {
    state: F::Open,
    mode: OpenMode,
    /// Where reading a directory has come to.
    directory: Option<DirectoryPlace>,
}

#[derive(Default)]
struct DirectoryPlace {
    offset: u64,
    position: u64,
    /// An entry that had no room in the last read.
    left: Option<Stat>,
}

/// An error that fits into the smallest message.
pub(super) fn refusal(error: &Error) -> Reply {
    const TEXT_MAX: usize = 300;
    // What a client sent may be quoted in it, and a text of 9P has no zeros.
    let mut text: String =
        error.to_string().chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    let mut len = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.truncate(len);
    Reply::Error(text)
}

/// A client's session.
pub(super) struct Session<'a, F: Files> {
    files: &'a F,
    fids: HashMap<u32, Fid<F>>,
    msize: Option<u32>,
}

impl<'a, F: Files> Session<'a, F> {
    pub(super) fn new(files: &'a F) -> Session<'a, F> {
        Session { files, fids: HashMap::new(), msize: None }
    }

    /// Bytes in the largest message, either way.
    pub(super) fn frame_max(&self) -> u32 {
        self.msize.unwrap_or(FRAME_MAX)
    }

    /// Whether a version has been agreed on.
    pub(super) fn is_welcome(&self) -> bool {
        self.msize.is_some()
    }

    /// Does what is asked.
    pub(super) async fn answer(&mut self, tag: u16, request: Request) -> Reply {
        match self.perform(tag, request).await {
            Ok(reply) => reply,
            Err(error) => refusal(&error),
        }
    }

    async fn perform(&mut self, tag: u16, request: Request) -> Result<Reply, Error> {
        if let Request::Version { msize, version } = request {
            return self.version(tag, msize, &version);
        }
        if self.msize.is_none() {
            return Err(Error::NoVersion);
        }
        match request {
            Request::Version { .. } => Err(Error::NoVersion),
            Request::Auth { .. } => Err(Error::NoAuthentication),
            Request::Attach { fid, afid, uname, aname } => self.attach(fid, afid, &uname, &aname).await,
            // Everything before it has been answered.
            Request::Flush { .. } => Ok(Reply::Flush),
            Request::Walk { fid, newfid, names } => self.walk(fid, newfid, &names).await,
            Request::Open { fid, mode } => self.open(fid, mode).await,
            Request::Create { fid, name, perm, mode } => self.create(fid, &name, perm, mode).await,
            Request::Read { fid, offset, count } => self.read(fid, offset, count).await,
            Request::Write { fid, offset, data } => self.write(fid, offset, data).await,
            Request::Clunk { fid } => self.clunk(fid).await,
            Request::Remove { fid } => self.remove(fid).await,
            Request::Stat { fid } => {
                let stat = self.files.stat(&self.fid(fid)?.node).await?;
                Ok(Reply::Stat(stat))
            }
            Request::Wstat { fid, change } => {
                let files = self.files;
                let fid = self.fid_mut(fid)?;
                match &mut fid.open {
                    Some(open) if change.is_sync() => files.sync(&fid.node, &mut open.state).await?,
                    None if change.is_sync() => {}
                    open => {
                        let from = fid.node.clone();
                        files
                            .wstat(&mut fid.node, open.as_mut().map(|open| &mut open.state), &change)
                            .await?;
                        if change.name.is_some() {
                            let to = fid.node.clone();
                            self.fids.values_mut().for_each(|fid| files.follow(&mut fid.node, &from, &to));
                        }
                    }
                }
                Ok(Reply::Wstat)
            }
        }
    }

    fn version(&mut self, tag: u16, msize: u32, version: &str) -> Result<Reply, Error> {
        // Whatever was open is given up; nothing half-written takes effect.
        self.fids.clear();
        self.msize = None;
        let spoken =
            version == VERSION || version.strip_prefix(VERSION).is_some_and(|rest| rest.starts_with('.'));
        if !spoken || tag != NO_TAG || msize < FRAME_MIN {
            return Ok(Reply::Version { msize: msize.min(FRAME_MAX), version: String::from("unknown") });
        }
        let msize = msize.min(FRAME_MAX);
        self.msize = Some(msize);
        Ok(Reply::Version { msize, version: String::from(VERSION) })
    }

    fn fid(&self, fid: u32) -> Result<&Fid<F>, Error> {
        self.fids.get(&fid).ok_or(Error::UnknownFid)
    }

    fn fid_mut(&mut self, fid: u32) -> Result<&mut Fid<F>, Error> {
        self.fids.get_mut(&fid).ok_or(Error::UnknownFid)
    }

    /// Whether a fid may be made to stand for something new.
    fn check_new(&self, fid: u32) -> Result<(), Error> {
        if fid == NO_FID {
            return Err(Error::UnknownFid);
        }
        if self.fids.contains_key(&fid) {
            return Err(Error::FidInUse);
        }
        if self.fids.len() >= FIDS_MAX { Err(Error::TooManyFids) } else { Ok(()) }
    }

    async fn attach(&mut self, fid: u32, afid: u32, uname: &str, aname: &str) -> Result<Reply, Error> {
        if afid != NO_FID {
            return Err(Error::NoAuthentication);
        }
        self.check_new(fid)?;
        let node = self.files.attach(uname, aname).await?;
        let qid = self.files.qid(&node);
        self.fids.insert(fid, Fid { node, open: None });
        Ok(Reply::Attach(qid))
    }

    async fn walk(&mut self, fid: u32, newfid: u32, names: &[String]) -> Result<Reply, Error> {
        let from = self.fid(fid)?;
        if from.open.is_some() {
            return Err(Error::AlreadyOpen);
        }
        let mut node = from.node.clone();
        if newfid != fid {
            self.check_new(newfid)?;
        }
        let mut qids = Vec::with_capacity(names.len());
        for name in names {
            let step = if self.files.qid(&node).is_directory() {
                self.files.walk(&node, name).await
            } else {
                Err(Error::NotDirectory)
            };
            match step {
                Ok(next) => node = next,
                // Only a first step that fails is an error; later ones are seen by the number of qids.
                Err(error) if qids.is_empty() => return Err(error),
                Err(_) => return Ok(Reply::Walk(qids)),
            }
            qids.push(self.files.qid(&node));
        }
        self.fids.insert(newfid, Fid { node, open: None });
        Ok(Reply::Walk(qids))
    }

    fn iounit(&self) -> u32 {
        self.frame_max() - IO_HEADER
    }

    async fn open(&mut self, fid: u32, mode: u8) -> Result<Reply, Error> {
        let mode = OpenMode::parse(mode).ok_or(Error::Permission)?;
        let (files, iounit) = (self.files, self.iounit());
        let fid = self.fid_mut(fid)?;
        if fid.open.is_some() {
            return Err(Error::AlreadyOpen);
        }
        let qid = files.qid(&fid.node);
        if qid.is_directory() && (mode.write || mode.truncate || mode.remove_at_end) {
            return Err(Error::IsDirectory);
        }
        let state = files.open(&fid.node, mode).await?;
        let directory = qid.is_directory().then(DirectoryPlace::default);
        fid.open = Some(Open { state, mode, directory });
        Ok(Reply::Open { qid, iounit })
    }

    async fn create(&mut self, fid: u32, name: &str, perm: u32, mode_bits: u8) -> Result<Reply, Error> {
        let open_mode = OpenMode::parse(mode_bits).ok_or(Error::Permission)?;
        let (files, iounit) = (self.files, self.iounit());
        let fid = self.fid_mut(fid)?;
        if fid.open.is_some() {
            return Err(Error::AlreadyOpen);
        }
        if !files.qid(&fid.node).is_directory() {
            return Err(Error::NotDirectory);
        }
        if name.is_empty() || name == "." || name == ".." || name.contains('/') {
            return Err(Error::new("bad file name"));
        }
        if perm & mode::DIRECTORY != 0 && (open_mode.write || open_mode.truncate) {
            return Err(Error::IsDirectory);
        }
        let (node, state) = files.create(&fid.node, name, perm, open_mode).await?;
        let qid = files.qid(&node);
        let directory = qid.is_directory().then(DirectoryPlace::default);
        *fid = Fid { node, open: Some(Open { state, mode: open_mode, directory }) };
        Ok(Reply::Create { qid, iounit })
    }

    async fn read(&mut self, fid: u32, offset: u64, count: u32) -> Result<Reply, Error> {
        let (files, count) = (self.files, count.min(self.iounit()) as usize);
        let Fid { node, open } = self.fid_mut(fid)?;
        let open = open.as_mut().filter(|open| open.mode.read).ok_or(Error::NotOpen)?;
        let Some(place) = &mut open.directory else {
            let mut data = files.read(node, &mut open.state, offset, count).await?;
            data.truncate(count);
            return Ok(Reply::Read(data));
        };
        if offset == 0 {
            *place = DirectoryPlace::default();
        }
        if offset != place.offset {
            return Err(Error::DirectoryOffset);
        }
        let mut data = Vec::new();
        loop {
            let stat = match place.left.take() {
                Some(stat) => Some(stat),
                None => files.entry(node, &mut open.state, place.position).await?,
            };
            let Some(stat) = stat else { break };
            let bytes = stat.to_bytes();
            if data.len() + bytes.len() > count {
                place.left = Some(stat);
                if data.is_empty() {
                    return Err(Error::CountTooSmall);
                }
                break;
            }
            data.extend_from_slice(&bytes);
            place.position += 1;
        }
        place.offset += data.len() as u64;
        Ok(Reply::Read(data.into()))
    }

    async fn write(&mut self, fid: u32, offset: u64, data: Bytes) -> Result<Reply, Error> {
        let files = self.files;
        let Fid { node, open } = self.fid_mut(fid)?;
        let open = open.as_mut().filter(|open| open.mode.write).ok_or(Error::NotOpen)?;
        let count = data.len() as u32;
        files.write(node, &mut open.state, offset, data).await?;
        Ok(Reply::Write(count))
    }

    async fn clunk(&mut self, fid: u32) -> Result<Reply, Error> {
        // The fid is gone, whatever comes of it.
        let Fid { node, open } = self.fids.remove(&fid).ok_or(Error::UnknownFid)?;
        if let Some(mut open) = open {
            let synced = if open.mode.write { self.files.sync(&node, &mut open.state).await } else { Ok(()) };
            drop(open.state);
            if open.mode.remove_at_end {
                self.files.remove(&node).await?;
            }
            synced?;
        }
        Ok(Reply::Clunk)
    }

    async fn remove(&mut self, fid: u32) -> Result<Reply, Error> {
        let Fid { node, open } = self.fids.remove(&fid).ok_or(Error::UnknownFid)?;
        drop(open);
        self.files.remove(&node).await?;
        Ok(Reply::Remove)
    }
}
