//! What a part holds, judged by its magic number.
//!
//! Knows the place and value of each; must not know the rest of those formats. A guess is enough here: whoever opens the
//! part checks it.

/// Where arena partitions and index sections have their headers, in bytes from the start of the part.
pub const VENTI_HEADER_AT: u64 = 262_144;

/// What a part seems to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Arenas.
    Arenas,
    /// A section of an index.
    IndexSection,
    /// A bloom filter.
    Bloom,
    /// A FAT file system.
    Fat,
    /// Further parts, listed behind it.
    Parts,
    /// Nothing that is known here.
    Unknown,
}

impl Contents {
    /// Judges by the sector at the start of a part and the one at [`VENTI_HEADER_AT`].
    ///
    /// The latter first: a part that was once a file system and was then formatted for venti keeps its old start, which
    /// venti's formatters do not touch.
    pub fn judge(start: &[u8], venti_header: &[u8]) -> Contents {
        match venti_header.first_chunk() {
            Some([0xa9, 0xe4, 0xa5, 0xe7]) => return Contents::Arenas,
            Some([0xd1, 0x5c, 0x5e, 0xc7]) => return Contents::IndexSection,
            _ => {}
        }
        if start.starts_with(&[0xb1, 0x00, 0x4e, 0xad]) {
            return Contents::Bloom;
        }
        let is_fat = [54, 82].iter().any(|at| start.get(*at..at + 3) == Some(b"FAT"));
        if is_fat && start.get(510..512) == Some(&[0x55, 0xaa]) { Contents::Fat } else { Contents::Unknown }
    }

    /// One word for it, as commands show it.
    pub const fn name(self) -> &'static str {
        match self {
            Contents::Arenas => "arenas",
            Contents::IndexSection => "index section",
            Contents::Bloom => "bloom filter",
            Contents::Fat => "fat",
            Contents::Parts => "table",
            Contents::Unknown => "-",
        }
    }
}
