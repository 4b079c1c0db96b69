//! The suites that are spoken, by their numbers.

use core::fmt;

/// How records are protected. The secret itself is the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// ChaCha20-Poly1305 (RFC 7905). What 9front's systems choose.
    ChaCha20Poly1305,
    /// AES-128-CBC and HMAC-SHA256 (RFC 5487).
    Aes128CbcSha256,
}

impl Suite {
    /// All of them, the preferred one first.
    pub const ALL: [Suite; 2] = [Suite::ChaCha20Poly1305, Suite::Aes128CbcSha256];

    /// Its number in hellos.
    pub fn number(self) -> u16 {
        match self {
            Suite::ChaCha20Poly1305 => 0xccab,
            Suite::Aes128CbcSha256 => 0x00ae,
        }
    }

    /// The suite of a number, if it is one of ours.
    pub fn of_number(number: u16) -> Option<Suite> {
        Suite::ALL.into_iter().find(|suite| suite.number() == number)
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Suite::ChaCha20Poly1305 => "PSK-CHACHA20-POLY1305",
            Suite::Aes128CbcSha256 => "PSK-AES128-CBC-SHA256",
        })
    }
}
