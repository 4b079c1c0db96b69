//! A client, one request at a time: enough for tools.

use super::message::{FRAME_MAX, Reply, Request, WALK_MAX};
use super::stat::{Stat, StatChange};
use super::{NO_TAG, VERSION};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use embedded_io_async::{Read, ReadExactError, Write};

/// Bytes around the data of a read or write.
const IO_HEADER: u32 = 24;
/// The fid of the root, and of what is being done.
const ROOT: u32 = 0;
const WORK: u32 = 1;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server says no.
    #[error("{0}")]
    Refused(String),
    /// The connection.
    #[error("the connection to the server failed")]
    Connection,
    /// A reply that fits no question.
    #[error("the server does not speak 9P2000")]
    Protocol,
    /// More than the caller takes.
    #[error("the file is longer than {0} bytes")]
    TooLong(usize),
}

/// A connection to a server, attached to a tree.
pub struct Client<R, W> {
    reader: R,
    writer: W,
    msize: u32,
}

impl<R: Read, W: Write> Client<R, W> {
    /// Agrees on a version and attaches.
    pub async fn attach(reader: R, writer: W, uname: &str, aname: &str) -> Result<Self, ClientError> {
        let mut client = Client { reader, writer, msize: FRAME_MAX };
        let version = Request::Version { msize: FRAME_MAX, version: VERSION.to_string() };
        match client.ask_with(NO_TAG, &version).await? {
            Reply::Version { msize, version }
                if version == VERSION && (IO_HEADER + 1..=FRAME_MAX).contains(&msize) =>
            {
                client.msize = msize;
            }
            _ => return Err(ClientError::Protocol),
        }
        client.ask(&Request::attach(ROOT, uname, aname)).await?;
        Ok(client)
    }

    /// Asks, whatever it is. A refusal is an error.
    pub async fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        self.ask_with(1, request).await
    }

    async fn ask_with(&mut self, tag: u16, request: &Request) -> Result<Reply, ClientError> {
        self.writer.write_all(&request.to_bytes(tag)).await.map_err(|_| ClientError::Connection)?;
        self.writer.flush().await.map_err(|_| ClientError::Connection)?;
        let gone = |_: ReadExactError<R::Error>| ClientError::Connection;
        let mut size = [0; 4];
        self.reader.read_exact(&mut size).await.map_err(gone)?;
        let size = u32::from_le_bytes(size);
        if size > self.msize || size < 7 {
            return Err(ClientError::Protocol);
        }
        let mut message = vec![0; size as usize - 4];
        self.reader.read_exact(&mut message).await.map_err(gone)?;
        match Reply::parse(message.into()) {
            Ok((answered, Reply::Error(text))) if answered == tag => Err(ClientError::Refused(text)),
            Ok((answered, reply)) if answered == tag => Ok(reply),
            _ => Err(ClientError::Protocol),
        }
    }

    /// Walks to a path, whose names are separated by `/`.
    async fn walk(&mut self, path: &str) -> Result<(), ClientError> {
        let names: Vec<String> = path.split('/').filter(|name| !name.is_empty()).map(String::from).collect();
        let mut from = ROOT;
        for names in names.chunks(WALK_MAX).chain(names.is_empty().then_some(&[][..])) {
            let walk = Request::Walk { fid: from, newfid: WORK, names: names.to_vec() };
            match self.ask(&walk).await? {
                Reply::Walk(qids) if qids.len() == names.len() => {}
                Reply::Walk(_) => {
                    if from == WORK {
                        let _ = self.ask(&Request::Clunk { fid: WORK }).await;
                    }
                    return Err(ClientError::Refused("file does not exist".to_string()));
                }
                _ => return Err(ClientError::Protocol),
            }
            from = WORK;
        }
        Ok(())
    }

    /// Does something with an open file, and closes it.
    async fn with_open<T>(
        &mut self,
        open: Request,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let done = match self.ask(&open).await {
            Ok(_) => work(self).await,
            Err(error) => Err(error),
        };
        let closed = self.ask(&Request::Clunk { fid: WORK }).await;
        let done = done?;
        closed.map(|_| done)
    }

    /// The content of a file, of at most `len_max` bytes.
    pub async fn read(&mut self, path: &str, len_max: usize) -> Result<Vec<u8>, ClientError> {
        self.walk(path).await?;
        self.with_open(Request::Open { fid: WORK, mode: 0 }, async |client| {
            let mut content = Vec::new();
            loop {
                let count = client.msize - IO_HEADER;
                let read = Request::Read { fid: WORK, offset: content.len() as u64, count };
                let Reply::Read(data) = client.ask(&read).await? else { return Err(ClientError::Protocol) };
                if data.is_empty() {
                    return Ok(content);
                }
                content.extend_from_slice(&data);
                if content.len() > len_max {
                    return Err(ClientError::TooLong(len_max));
                }
            }
        })
        .await
    }

    /// What is in a directory.
    pub async fn list(&mut self, path: &str) -> Result<Vec<Stat>, ClientError> {
        const LIST_MAX: usize = 256 << 20;
        let bytes = self.read(path, LIST_MAX).await?;
        Stat::parse_all(&bytes).map_err(|_| ClientError::Protocol)
    }

    /// What is said of a file.
    pub async fn stat(&mut self, path: &str) -> Result<Stat, ClientError> {
        self.walk(path).await?;
        let stat = self.ask(&Request::Stat { fid: WORK }).await;
        self.ask(&Request::Clunk { fid: WORK }).await?;
        match stat? {
            Reply::Stat(stat) => Ok(stat),
            _ => Err(ClientError::Protocol),
        }
    }

    /// Makes `content` the content of a file that is there. Durable when this returns.
    pub async fn write(&mut self, path: &str, content: &[u8]) -> Result<(), ClientError> {
        self.walk(path).await?;
        self.with_open(Request::Open { fid: WORK, mode: 0x11 }, async |client| client.put(content).await)
            .await
    }

    /// Writes to a file that takes commands.
    pub async fn command(&mut self, path: &str, line: &str) -> Result<(), ClientError> {
        self.walk(path).await?;
        self.with_open(Request::Open { fid: WORK, mode: 1 }, async |client| client.put(line.as_bytes()).await)
            .await
    }

    /// Makes a file with this content.
    pub async fn create(&mut self, parent: &str, name: &str, content: &[u8]) -> Result<(), ClientError> {
        self.walk(parent).await?;
        let create = Request::Create { fid: WORK, name: name.to_string(), perm: 0o644, mode: 1 };
        self.with_open(create, async |client| client.put(content).await).await
    }

    async fn put(&mut self, content: &[u8]) -> Result<(), ClientError> {
        let mut offset = 0;
        for piece in content.chunks((self.msize - IO_HEADER) as usize) {
            let data = Bytes::copy_from_slice(piece);
            match self.ask(&Request::Write { fid: WORK, offset, data }).await? {
                Reply::Write(count) if count as usize == piece.len() => offset += piece.len() as u64,
                _ => return Err(ClientError::Protocol),
            }
        }
        let sync = Request::Wstat { fid: WORK, change: StatChange::default() };
        self.ask(&sync).await.map(|_| ())
    }

    /// Takes a file away.
    pub async fn remove(&mut self, path: &str) -> Result<(), ClientError> {
        self.walk(path).await?;
        self.ask(&Request::Remove { fid: WORK }).await.map(|_| ())
    }
}
