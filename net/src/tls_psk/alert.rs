//! Why a connection ends, and what the peer is told of it.

/// What an end says last. All but the first are fatal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// The orderly end.
    CloseNotify = 0,
    /// A message or record out of turn.
    UnexpectedMessage = 10,
    /// A record that does not open.
    BadRecordMac = 20,
    /// A record that is too long.
    RecordOverflow = 22,
    /// Nothing in common, or the wrong proof.
    HandshakeFailure = 40,
    /// A value that was not to choose.
    IllegalParameter = 47,
    /// A message that cannot be read.
    DecodeError = 50,
    /// Another version of TLS, or no TLS.
    ProtocolVersion = 70,
    /// A fault of our own.
    InternalError = 80,
    /// A secret of another name.
    UnknownPskIdentity = 115,
}

impl Alert {
    /// The two bytes: how grave it is, and what.
    pub fn bytes(self) -> [u8; 2] {
        let level = if self == Alert::CloseNotify { 1 } else { 2 };
        [level, self as u8]
    }
}

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A header that is none.
    #[error("the peer does not speak TLS 1.2: a record of version {0:#06x}")]
    NotTls(u16),
    /// A hello of another version.
    #[error("the peer wants TLS version {0:#06x}, and only 1.2 (0x0303) is spoken here")]
    Version(u16),
    /// More than a record may hold.
    #[error("a record of {0} bytes, which is too long")]
    TooLong(usize),
    /// A record that does not open: altered on the way, repeated, left out, or sealed with another secret.
    #[error("a record does not open: it was altered on the way, or the two ends do not share one secret")]
    BadRecord,
    /// Out of turn.
    #[error("{0} out of turn")]
    Unexpected(&'static str),
    /// Cannot be read.
    #[error("{0} that cannot be read")]
    Malformed(&'static str),
    /// The client has no suite of ours.
    #[error("the client offers none of the suites 0xccab and 0x00ae, or insists on compression")]
    NothingInCommon,
    /// The server chose what was not offered.
    #[error("the server chooses suite {0:#06x} or a compression, which was not offered")]
    NotOffered(u16),
    /// The client means another secret.
    #[error("the client has a secret of another name than p9secret")]
    Identity,
    /// The two ends did not see the same handshake.
    #[error("the peer's Finished does not fit what was said: the handshake was altered on the way")]
    Finished,
    /// The peer gives up.
    #[error("the peer ends the connection with alert {0}{hint}", hint = hint(*.0))]
    Fatal(u8),
    /// The peer warns of something that nobody here expects.
    #[error("the peer warns with alert {0}, which has no meaning here")]
    Warning(u8),
    /// The stream ended without the orderly end.
    #[error("the connection ended in the middle: the peer did not say that it was done")]
    Truncated,
    /// More records than numbers.
    #[error("one connection has carried as many records as there are numbers")]
    Exhausted,
    /// It was over before.
    #[error("this connection is over")]
    Over,
}

impl TlsError {
    /// What the peer is told. `None`: nothing, since it said so itself, or is gone.
    pub fn alert(&self) -> Option<Alert> {
        match self {
            TlsError::NotTls(_) | TlsError::Version(_) => Some(Alert::ProtocolVersion),
            TlsError::TooLong(_) => Some(Alert::RecordOverflow),
            TlsError::BadRecord => Some(Alert::BadRecordMac),
            TlsError::Unexpected(_) => Some(Alert::UnexpectedMessage),
            TlsError::Malformed(_) => Some(Alert::DecodeError),
            TlsError::NothingInCommon | TlsError::Finished => Some(Alert::HandshakeFailure),
            TlsError::NotOffered(_) | TlsError::Warning(_) => Some(Alert::IllegalParameter),
            TlsError::Identity => Some(Alert::UnknownPskIdentity),
            TlsError::Exhausted => Some(Alert::InternalError),
            TlsError::Fatal(_) | TlsError::Truncated | TlsError::Over => None,
        }
    }
}

/// What the commonest alerts mean here.
fn hint(alert: u8) -> &'static str {
    match alert {
        20 | 51 => " (a record did not open there: the two ends do not share one secret)",
        40 => " (no suite in common)",
        70 => " (it does not speak TLS 1.2)",
        115 => " (it knows no secret called p9secret)",
        _ => "",
    }
}

/// What an alert means that was received. `Ok(true)`: the orderly end; `Ok(false)`: nothing.
pub(super) fn heard(body: &[u8], in_handshake: bool) -> Result<bool, TlsError> {
    match body {
        [1, 0] => Ok(true),
        // unrecognized_name, and, once all is settled, user_canceled and no_renegotiation.
        [1, 112] => Ok(false),
        [1, 90 | 100] if !in_handshake => Ok(false),
        [1, other] => Err(TlsError::Warning(*other)),
        [2, fatal] => Err(TlsError::Fatal(*fatal)),
        _ => Err(TlsError::Malformed("an alert")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Alert, TlsError, heard};

    #[test]
    fn only_the_orderly_end_is_a_warning() {
        assert_eq!(Alert::CloseNotify.bytes(), [1, 0]);
        assert_eq!(Alert::BadRecordMac.bytes(), [2, 20]);
    }

    #[test]
    fn warnings_that_mean_nothing_are_few() {
        assert_eq!(heard(&[1, 0], false), Ok(true));
        assert_eq!(heard(&[1, 112], true), Ok(false));
        assert_eq!(heard(&[1, 100], false), Ok(false));
        assert_eq!(heard(&[1, 100], true), Err(TlsError::Warning(100)));
        assert_eq!(heard(&[1, 41], false), Err(TlsError::Warning(41)));
        assert_eq!(heard(&[2, 0], false), Err(TlsError::Fatal(0)));
        for odd in [&[][..], &[1], &[3, 0], &[1, 0, 0]] {
            assert_eq!(heard(odd, false), Err(TlsError::Malformed("an alert")));
        }
    }
}
