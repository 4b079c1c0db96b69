//! A clump's bytes ↔ the lump it holds. Every lump that leaves here has the SHA-1 that its header claims.

use crate::arithmetic::Kind;
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpHeader, Encoding};
use crate::score::Score;
use crate::store::DamageCause;
use crate::whack;
use bytes::Bytes;

/// What [`unpack`] does with a clump of this encoding.
pub(crate) fn kind_of(encoding: Encoding) -> Kind {
    match encoding {
        Encoding::Plain => Kind::Hash,
        Encoding::Whack => Kind::Unpack,
    }
}

/// The lump of a clump whose header was read from the front of `clump`; `clump` may go on behind it.
pub(crate) fn unpack(clump: &Bytes, header: &ClumpHeader) -> Result<Bytes, DamageCause> {
    if clump.len() < header.clump_len() {
        return Err(DamageCause::BeyondEnd);
    }
    let stored = clump.slice(CLUMP_HEADER_LEN..header.clump_len());
    let lump = match header.encoding {
        Encoding::Plain => stored,
        Encoding::Whack => {
            let lump = whack::decode(&stored, usize::from(header.lump_len));
            Bytes::from(lump.map_err(|_| DamageCause::Unpack)?)
        }
    };
    let got = Score::of(&lump);
    if got != header.score {
        return Err(DamageCause::Score { expected: header.score, got });
    }
    Ok(lump)
}
