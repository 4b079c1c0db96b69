//! A small venti client of the tests' own, written from the protocol's description and sharing no code with the node.
//!
//! One request at a time unless [`Client::send`] and [`Client::receive`] are used apart. Every call has a deadline.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Type number of a data block on the wire.
pub const DATA: u8 = 13;

/// Message numbers (venti(7)).
pub mod message {
    /// Rerror.
    pub const ERROR: u8 = 1;
    /// Thello.
    pub const HELLO: u8 = 4;
    /// Tread.
    pub const READ: u8 = 12;
    /// Twrite.
    pub const WRITE: u8 = 14;
    /// Tsync.
    pub const SYNC: u8 = 16;
}

/// Body of the hello that belongs to the greeting sent here.
pub const HELLO: &[u8] = b"\x00\x0204\x00\x09anonymous\x00\x00\x00";

/// Longer than any reply a sane server sends.
const REPLY_BYTES_MAX: usize = 60 * 1024;

/// What a client speaks through.
pub trait Connection: Read + Write {
    /// Changes how long anything may take.
    fn set_limit(&mut self, limit: Duration) -> std::io::Result<()>;
}

impl Connection for TcpStream {
    fn set_limit(&mut self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit))?;
        self.set_write_timeout(Some(limit))
    }
}

/// A connection that has said hello.
pub struct Client {
    stream: Box<dyn Connection>,
}

/// A reply: its type, its tag, the rest.
pub struct Reply {
    /// Message number.
    pub kind: u8,
    /// Tag of the request.
    pub tag: u8,
    /// What follows the tag.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to a port on loopback and says hello; fails after `limit`.
    pub fn connect(port: u16, limit: Duration) -> Result<Client> {
        Client::over(connect_raw(port, limit)?)
    }

    /// Says hello on a connection.
    pub fn over(stream: impl Connection + 'static) -> Result<Client> {
        let mut client = Client { stream: Box::new(stream) };
        client.greet()?;
        client.send(message::HELLO, 0, HELLO)?;
        let reply = client.receive()?;
        ensure!(reply.kind == message::HELLO + 1, "the hello was answered with message {}", reply.kind);
        Ok(client)
    }

    /// Tries to connect until `over`: what a boot is waited for with.
    pub fn connect_until(port: u16, mut over: impl FnMut() -> bool) -> Result<Client> {
        loop {
            // QEMU accepts before the guest does, so a connection that stays silent proves nothing.
            match Client::connect(port, Duration::from_millis(200)) {
                Ok(mut client) => {
                    client.set_limit(Duration::from_secs(30))?;
                    return Ok(client);
                }
                Err(error) if over() => {
                    return Err(error.context("no venti answered in time"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Changes how long a reply may take.
    pub fn set_limit(&mut self, limit: Duration) -> Result<()> {
        Ok(self.stream.set_limit(limit)?)
    }

    /// Stores a block; gives its score.
    pub fn write(&mut self, data: &[u8]) -> Result<[u8; 20]> {
        self.send(message::WRITE, 0, &write_body(data))?;
        let reply = self.expect(message::WRITE + 1)?;
        reply.body.as_slice().try_into().context("Rwrite does not carry a score")
    }

    /// Reads a data block.
    pub fn read(&mut self, score: &[u8; 20]) -> Result<Vec<u8>> {
        self.send(message::READ, 0, &read_body(score))?;
        Ok(self.expect(message::READ + 1)?.body)
    }

    /// Asks that everything written be durable.
    pub fn sync(&mut self) -> Result<()> {
        self.send(message::SYNC, 0, &[])?;
        self.expect(message::SYNC + 1)?;
        Ok(())
    }

    /// Sends one message.
    pub fn send(&mut self, kind: u8, tag: u8, body: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(&frame(kind, tag, body)?)?)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits for one message.
    pub fn receive(&mut self) -> Result<Reply> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).context("no reply")?;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        ensure!((2..=REPLY_BYTES_MAX).contains(&length), "a reply of {length} bytes");
        let mut rest = vec![0; length];
        self.stream.read_exact(&mut rest).context("reply cut short")?;
        let body = rest.split_off(2);
        Ok(Reply { kind: rest[0], tag: rest[1], body })
    }

    fn expect(&mut self, kind: u8) -> Result<Reply> {
        let reply = self.receive()?;
        if reply.kind == message::ERROR {
            bail!("venti: {}", String::from_utf8_lossy(reply.body.get(2..).unwrap_or_default()));
        }
        ensure!(reply.kind == kind, "message {} instead of {kind}", reply.kind);
        Ok(reply)
    }

    fn greet(&mut self) -> Result<()> {
        self.stream.write_all(b"venti-04:02-granary-test\n")?;
        read_greeting(&mut self.stream)
    }
}

/// Takes the server's first line.
pub fn read_greeting(stream: &mut impl Read) -> Result<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).context("no greeting")?;
        ensure!(line.len() < 1024, "an endless greeting");
        line.push(byte[0]);
    }
    ensure!(line.starts_with(b"venti-04:02-"), "greeting {:?}", String::from_utf8_lossy(&line));
    Ok(())
}

/// A message with its length.
pub fn frame(kind: u8, tag: u8, body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 2)?;
    Ok([&length.to_be_bytes()[..], &[kind, tag], body].concat())
}

/// A bare connection to a port on loopback, with deadlines.
pub fn connect_raw(port: u16, limit: Duration) -> Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Body of a Twrite of a data block.
pub fn write_body(data: &[u8]) -> Vec<u8> {
    [&[DATA, 0, 0, 0][..], data].concat()
}

/// Body of a Tread of a data block of any size.
pub fn read_body(score: &[u8; 20]) -> Vec<u8> {
    [&score[..], &[DATA, 0], &57344_u16.to_be_bytes()].concat()
}
