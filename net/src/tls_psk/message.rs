//! Handshake messages ↔ bytes.

use super::TlsError;
use super::keys::VERIFY_LEN;
use super::suite::Suite;
use alloc::vec::Vec;
use subtle::ConstantTimeEq;

/// The number of each message.
pub(super) mod kind {
    pub(in crate::tls_psk) const CLIENT_HELLO: u8 = 1;
    pub(in crate::tls_psk) const SERVER_HELLO: u8 = 2;
    pub(in crate::tls_psk) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in crate::tls_psk) const SERVER_HELLO_DONE: u8 = 14;
    pub(in crate::tls_psk) const CLIENT_KEY_EXCHANGE: u8 = 16;
    pub(in crate::tls_psk) const FINISHED: u8 = 20;
}

/// The name of the secret, which is all that identifies it.
const IDENTITY: &[u8] = b"p9secret";
const TLS_1_2: u16 = 0x0303;
/// Stands among the suites and asks for [`RENEGOTIATION_INFO`] (RFC 5746).
const RENEGOTIATION_SIGNAL: u16 = 0x00ff;
const RENEGOTIATION_INFO: u16 = 0xff01;
const NO_COMPRESSION: u8 = 0;

/// What 9front's client says beyond the suites. Groups, point formats and signatures mean nothing here.
const CLIENT_EXTENSIONS: [u8; 42] = [
    0x00, 0x28, // length of all
    0x00, 0x0a, 0x00, 0x08, 0x00, 0x06, 0x00, 0x1d, 0x00, 0x17, 0x00, 0x18, // groups
    0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, // point formats
    0x00, 0x0d, 0x00, 0x12, 0x00, 0x10, // signatures
    0x06, 0x03, 0x05, 0x03, 0x04, 0x03, 0x02, 0x03, 0x06, 0x01, 0x05, 0x01, 0x04, 0x01, 0x02, 0x01,
];
/// The server's word that there is no renegotiation.
const SERVER_EXTENSIONS: [u8; 7] = [0x00, 0x05, 0xff, 0x01, 0x00, 0x01, 0x00];

/// A whole message: its kind, three bytes of length, its body.
pub(super) fn encode(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let [.., high, middle, low] = len.to_be_bytes();
    let mut message = Vec::with_capacity(4 + len);
    message.extend_from_slice(&[kind, high, middle, low]);
    parts.iter().for_each(|part| message.extend_from_slice(part));
    message
}

/// The client's first message.
pub(super) fn client_hello(random: &[u8; 32], offered: &[u16]) -> Vec<u8> {
    let suites = offered.iter().chain(&[RENEGOTIATION_SIGNAL]);
    let suites: Vec<u8> = suites.flat_map(|suite| suite.to_be_bytes()).collect();
    let len = u16::try_from(suites.len()).unwrap_or(u16::MAX).to_be_bytes();
    let version = TLS_1_2.to_be_bytes();
    let compression = [1, NO_COMPRESSION];
    let session = [0];
    encode(kind::CLIENT_HELLO, &[&version, random, &session, &len, &suites, &compression, &CLIENT_EXTENSIONS])
}

/// What a server needs to know of the client's first message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientHello {
    pub(super) random: [u8; 32],
    pub(super) suite: Suite,
    /// It asks to be told that there is no renegotiation.
    pub(super) asks_renegotiation: bool,
}

impl ClientHello {
    /// `spoken` are our suites, the preferred one first.
    pub(super) fn parse(body: &[u8], spoken: &[Suite]) -> Result<ClientHello, TlsError> {
        let mut fields = Fields { left: body, what: "a ClientHello" };
        let version = fields.number()?;
        let random = fields.array()?;
        fields.short_list()?; // a session that is not resumed
        let suites = fields.long_list()?;
        let compressions = fields.short_list()?;
        if !(TLS_1_2..=0x03ff).contains(&version) {
            return Err(TlsError::Version(version));
        }
        if suites.len() % 2 != 0 {
            return Err(TlsError::Malformed("a ClientHello"));
        }
        let suites = || suites.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let suite = spoken.iter().copied().find(|ours| suites().any(|theirs| theirs == ours.number()));
        let suite = suite.filter(|_| compressions.contains(&NO_COMPRESSION));
        let asks_renegotiation =
            extensions(&mut fields)? || suites().any(|suite| suite == RENEGOTIATION_SIGNAL);
        Ok(ClientHello { random, suite: suite.ok_or(TlsError::NothingInCommon)?, asks_renegotiation })
    }
}

/// Reads the extensions, if there are any. Whether an empty one about renegotiation is among them.
fn extensions(fields: &mut Fields<'_>) -> Result<bool, TlsError> {
    if fields.left.is_empty() {
        return Ok(false);
    }
    let mut list = Fields { left: fields.long_list()?, what: fields.what };
    let mut renegotiation = false;
    while !list.left.is_empty() {
        let (number, content) = (list.number()?, list.long_list()?);
        if number == RENEGOTIATION_INFO {
            // Anything else speaks of a handshake before this one.
            renegotiation = content == [0];
            if !renegotiation {
                return Err(TlsError::Malformed(fields.what));
            }
        }
    }
    fields.end()?;
    Ok(renegotiation)
}

/// The server's first message.
pub(super) fn server_hello(random: &[u8; 32], suite: Suite, about_renegotiation: bool) -> Vec<u8> {
    let extensions = if about_renegotiation { &SERVER_EXTENSIONS[..] } else { &[] };
    let (version, suite) = (TLS_1_2.to_be_bytes(), suite.number().to_be_bytes());
    encode(kind::SERVER_HELLO, &[&version, random, &[0], &suite, &[NO_COMPRESSION], extensions])
}

/// What a client needs to know of the server's first message: its random string, and a suite of ours that was offered.
pub(super) fn parse_server_hello(
    body: &[u8],
    spoken: &[Suite],
    offered: &[u16],
) -> Result<([u8; 32], Suite), TlsError> {
    let mut fields = Fields { left: body, what: "a ServerHello" };
    let version = fields.number()?;
    let random = fields.array()?;
    fields.short_list()?; // a session to resume, which never happens
    let (number, [compression]) = (fields.number()?, fields.array()?);
    // Whatever else the server says, 9front ignores it, too.
    extensions(&mut fields)?;
    if version != TLS_1_2 {
        return Err(TlsError::Version(version));
    }
    let suite = spoken.iter().copied().find(|suite| suite.number() == number);
    let suite = suite.filter(|_| offered.contains(&number));
    match suite.filter(|_| compression == NO_COMPRESSION) {
        Some(suite) => Ok((random, suite)),
        None => Err(TlsError::NotOffered(number)),
    }
}

/// Reads a hint about which secret is meant; there is one only.
pub(super) fn parse_server_key_exchange(body: &[u8]) -> Result<(), TlsError> {
    let mut fields = Fields { left: body, what: "a ServerKeyExchange" };
    fields.long_list()?;
    fields.end()
}

/// Which secret the client means.
pub(super) fn client_key_exchange() -> Vec<u8> {
    let len = (IDENTITY.len() as u16).to_be_bytes();
    encode(kind::CLIENT_KEY_EXCHANGE, &[&len, IDENTITY])
}

/// Whether the client means the secret that there is.
pub(super) fn parse_client_key_exchange(body: &[u8]) -> Result<(), TlsError> {
    let mut fields = Fields { left: body, what: "a ClientKeyExchange" };
    let identity = fields.long_list()?;
    fields.end()?;
    if identity == IDENTITY { Ok(()) } else { Err(TlsError::Identity) }
}

/// Whether a Finished message proves what it should.
pub(super) fn check_finished(body: &[u8], wanted: &[u8; VERIFY_LEN]) -> Result<(), TlsError> {
    if body.len() != VERIFY_LEN {
        return Err(TlsError::Malformed("a Finished"));
    }
    if body.ct_eq(wanted).into() { Ok(()) } else { Err(TlsError::Finished) }
}

/// The rest of a message, read field by field.
struct Fields<'a> {
    left: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], TlsError> {
        let (front, back) = self.left.split_at_checked(len).ok_or(TlsError::Malformed(self.what))?;
        self.left = back;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], TlsError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn number(&mut self) -> Result<u16, TlsError> {
        self.array().map(u16::from_be_bytes)
    }

    /// Bytes behind one byte that counts them.
    fn short_list(&mut self) -> Result<&'a [u8], TlsError> {
        let [len] = self.array()?;
        self.take(usize::from(len))
    }

    /// Bytes behind two bytes that count them.
    fn long_list(&mut self) -> Result<&'a [u8], TlsError> {
        let len = self.number()?;
        self.take(usize::from(len))
    }

    fn end(&self) -> Result<(), TlsError> {
        if self.left.is_empty() { Ok(()) } else { Err(TlsError::Malformed(self.what)) }
    }
}
