//! Why bytes are not the structure they were taken for. Knows no disk: who read the bytes adds where they lay.

use super::name::NameError;

/// The structure that was to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Structure {
    /// Header of an arena partition.
    #[error("arena partition header")]
    ArenaPartition,
    /// An arena's first block.
    #[error("arena head")]
    ArenaHead,
    /// An arena's last block.
    #[error("arena tail")]
    ArenaTail,
    /// Header of an index section.
    #[error("index section header")]
    IndexSection,
    /// One block of an index section.
    #[error("index bucket")]
    Bucket,
    /// Header of a bloom filter.
    #[error("bloom filter header")]
    Bloom,
}

/// Bytes that are not what they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{structure}: {fault}")]
pub struct FormatError {
    /// What was to be read.
    pub structure: Structure,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Fewer bytes than the structure has.
    #[error("needs {need} bytes, has {have}")]
    TooShort {
        /// Bytes that the structure has.
        need: usize,
        /// Bytes that were given.
        have: usize,
    },
    /// Another magic number: never formatted, overwritten, or the wrong partition.
    #[error("magic number is {found:#010x}, not {expected:#010x}: not formatted as such, or overwritten")]
    Magic {
        /// The number that stands there.
        found: u32,
        /// The number that belongs there.
        expected: u32,
    },
    /// A version that no known venti writes.
    #[error("version {0} is unknown")]
    Version(u32),
    /// A name that cannot be one.
    #[error("{field}: {cause}")]
    Name {
        /// Which name.
        field: &'static str,
        /// What is wrong with it.
        cause: NameError,
    },
    /// A number out of its range.
    #[error("{field} is {found}, must be {must}")]
    Field {
        /// Which number.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What it must be, in words.
        must: &'static str,
    },
}

impl Structure {
    /// `Ok` if `holds`; else the complaint that `field` must be something else.
    pub(super) fn require(
        self,
        holds: bool,
        field: &'static str,
        found: impl Into<u64>,
        must: &'static str,
    ) -> Result<(), FormatError> {
        if holds { Ok(()) } else { Err(self.fault(Fault::Field { field, found: found.into(), must })) }
    }

    /// `Ok` if the magic number is the structure's own.
    pub(super) fn require_magic(self, found: u32, expected: u32) -> Result<(), FormatError> {
        if found == expected { Ok(()) } else { Err(self.fault(Fault::Magic { found, expected })) }
    }

    /// The complaint about this structure.
    pub(super) fn fault(self, fault: Fault) -> FormatError {
        FormatError { structure: self, fault }
    }

    /// Splits a raw structure off the front of `bytes`.
    pub(super) fn take<T>(self, bytes: &[u8]) -> Result<(T, &[u8]), FormatError>
    where
        T: zerocopy::FromBytes,
    {
        T::read_from_prefix(bytes)
            .map_err(|_| self.fault(Fault::TooShort { need: size_of::<T>(), have: bytes.len() }))
    }

    /// Reads a name field.
    pub(super) fn name(
        self,
        field: &'static str,
        bytes: [u8; super::name::NAME_FIELD_LEN],
    ) -> Result<super::Name, FormatError> {
        super::Name::from_field(bytes).map_err(|cause| self.fault(Fault::Name { field, cause }))
    }
}
