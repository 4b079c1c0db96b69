//! The suites that are spoken, by their numbers.

use crate::auth::key::SessionSecret;
use core::fmt;

/// How records are protected. The secret itself is the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// ChaCha20-Poly1305 (RFC 7905). What 9front's systems choose.
    ChaCha20Poly1305,
    /// AES-128-CBC and HMAC-SHA256 (RFC 5487).
    Aes128CbcSha256,
    /// AES-128-CBC and HMAC-SHA1 (RFC 4279). What systems that know p9sk1 alone may want.
    Aes128CbcSha1,
}

impl Suite {
    /// Those that are spoken with a secret, the preferred one first.
    pub fn spoken(secret: &SessionSecret) -> &'static [Suite] {
        match secret {
            SessionSecret::Dp9ik(_) => &[Suite::ChaCha20Poly1305, Suite::Aes128CbcSha256],
            SessionSecret::P9sk1(_) => {
                &[Suite::ChaCha20Poly1305, Suite::Aes128CbcSha256, Suite::Aes128CbcSha1]
            }
        }
    }

    /// Its number in hellos.
    pub fn number(self) -> u16 {
        match self {
            Suite::ChaCha20Poly1305 => 0xccab,
            Suite::Aes128CbcSha256 => 0x00ae,
            Suite::Aes128CbcSha1 => 0x008c,
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Suite::ChaCha20Poly1305 => "PSK-CHACHA20-POLY1305",
            Suite::Aes128CbcSha256 => "PSK-AES128-CBC-SHA256",
            Suite::Aes128CbcSha1 => "PSK-AES128-CBC-SHA",
        })
    }
}
