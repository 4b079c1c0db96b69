//! An index section's header. What all sections of an index say together is [`super::index_config`]'s.

use super::error::{Fault, FormatError, Structure};
use super::name::{NAME_FIELD_LEN, Name};
use super::prelude;
use core::mem::offset_of;
use zerocopy::byteorder::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: u32 = 0xd15c_5ec7;
const IT: Structure = Structure::IndexSection;

/// At [`prelude::PRELUDE_LEN`]; version 2 goes on with a U32, the bucket magic number. The rest of the sector is zero.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: U32,
    version: U32,
    name: [u8; NAME_FIELD_LEN],
    index_name: [u8; NAME_FIELD_LEN],
    block_size: U32,
    block_base: U32,
    blocks: U32,
    start: U32,
    stop: U32,
}
const _: () = assert!(size_of::<RawHeader>() == 156 && offset_of!(RawHeader, block_size) == 136);

/// The header of an index section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSectionHeader {
    /// The section's name.
    pub name: Name,
    /// The index that the section belongs to; `None` before the index is made.
    pub index_name: Option<Name>,
    /// Bytes in a bucket.
    pub block_size: u32,
    /// Offset of the first bucket; the text lies before it.
    pub block_base: u32,
    /// Buckets that the partition has room for.
    pub blocks: u32,
    /// First bucket of the index that is here.
    pub start: u32,
    /// First bucket of the index that is not here any more.
    pub stop: u32,
    /// What every written bucket carries; 0 in version 1, whose buckets carry nothing and must be zeroed first. The
    /// version follows from this.
    pub bucket_magic: u32,
}

impl IndexSectionHeader {
    /// The header that `fmtisect` writes to a partition of `partition_len` bytes. `bucket_magic` is 0 for version 1,
    /// else random. `block_size` satisfies [`prelude::is_block_size`].
    pub fn fresh(
        name: Name,
        block_size: u32,
        partition_len: u64,
        bucket_magic: u32,
    ) -> Result<IndexSectionHeader, FormatError> {
        IT.require_block_size(block_size)?;
        let block_base = prelude::block_base(block_size);
        let blocks =
            (partition_len / u64::from(block_size)).saturating_sub(block_base / u64::from(block_size));
        IT.require(blocks > 0, "partition", partition_len, "large enough for one bucket behind the table")?;
        let blocks = u32::try_from(blocks);
        let blocks = blocks
            .or(IT.require(false, "partition", partition_len, "less than 2^32 blocks long").map(|()| 0))?;
        // At most 256 KiB + 64 KiB + 512 KiB + 64 KiB.
        let block_base = block_base as u32;
        Ok(IndexSectionHeader {
            name,
            index_name: None,
            block_size,
            block_base,
            blocks,
            start: 0,
            stop: 0,
            bucket_magic,
        })
    }

    /// Reads the sector at [`prelude::PRELUDE_LEN`].
    pub fn parse(sector: &[u8]) -> Result<IndexSectionHeader, FormatError> {
        let (raw, rest) = IT.take::<RawHeader>(sector)?;
        IT.require_magic(raw.magic.get(), MAGIC)?;
        let bucket_magic = match raw.version.get() {
            1 => 0,
            2 => IT.take::<U32>(rest)?.0.get(),
            other => return Err(IT.fault(Fault::Version(other))),
        };
        let good = bucket_magic != 0 || raw.version.get() == 1;
        IT.require(good, "bucket magic", bucket_magic, "anything but 0")?;
        let index_name = match raw.index_name[0] {
            0 => None,
            _ => Some(IT.name("index name", raw.index_name)?),
        };
        let header = IndexSectionHeader {
            name: IT.name("name", raw.name)?,
            index_name,
            block_size: raw.block_size.get(),
            block_base: raw.block_base.get(),
            blocks: raw.blocks.get(),
            start: raw.start.get(),
            stop: raw.stop.get(),
            bucket_magic,
        };
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), FormatError> {
        IT.require_block_size(self.block_size)?;
        let base_is_good =
            u64::from(self.block_base) > self.text_base() && self.block_base.is_multiple_of(self.block_size);
        IT.require(base_is_good, "block base", self.block_base, "a whole block behind the text's start")?;
        IT.require(self.start <= self.stop, "start", self.start, "no more than stop")?;
        let fits = self.stop.saturating_sub(self.start) <= self.blocks;
        IT.require(fits, "stop", self.stop, "no more than start and the number of blocks together")
    }

    /// The sector as it stands on disk.
    pub fn encode(&self) -> [u8; prelude::HEADER_LEN as usize] {
        let raw = RawHeader {
            magic: MAGIC.into(),
            version: if self.bucket_magic == 0 { 1 } else { 2 }.into(),
            name: self.name.to_field(),
            index_name: self.index_name.map_or([0; NAME_FIELD_LEN], Name::to_field),
            block_size: self.block_size.into(),
            block_base: self.block_base.into(),
            blocks: self.blocks.into(),
            start: self.start.into(),
            stop: self.stop.into(),
        };
        let mut sector = [0; prelude::HEADER_LEN as usize];
        let (head, rest) = sector.split_at_mut(size_of::<RawHeader>());
        head.copy_from_slice(raw.as_bytes());
        rest[..4].copy_from_slice(&self.bucket_magic.to_be_bytes());
        sector
    }

    /// Offset of the text that describes the index.
    pub fn text_base(&self) -> u64 {
        prelude::text_base(self.block_size)
    }

    /// Bytes that the text may take.
    pub fn text_len(&self) -> u64 {
        u64::from(self.block_base).saturating_sub(self.text_base())
    }

    /// Bytes of the partition that the header lays claim to.
    pub fn claimed_len(&self) -> u64 {
        u64::from(self.block_base) + u64::from(self.blocks) * u64::from(self.block_size)
    }

    /// Offset of a bucket of the index; `None` if it is in another section.
    pub fn bucket_offset(&self, bucket: u32) -> Option<u64> {
        let here = (self.start..self.stop).contains(&bucket);
        let number = u64::from(bucket.checked_sub(self.start)?);
        here.then(|| u64::from(self.block_base) + number * u64::from(self.block_size))
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::never_panics;
    use super::*;
    use std::string::ToString;

    fn section() -> IndexSectionHeader {
        let name = Name::new("isect0").unwrap();
        let fresh = IndexSectionHeader::fresh(name, 8192, 3 << 20, 0xfeed_beef).unwrap();
        IndexSectionHeader { index_name: Some(Name::new("main").unwrap()), stop: 287, ..fresh }
    }

    #[test]
    fn a_fresh_section_has_the_room_that_fmtisect_reports() {
        let name = Name::new("isect").unwrap();
        for (block_size, len, blocks) in [(8192, 3 << 20, 287), (8192, 2 << 20, 159), (512, 1_535_488, 1462)]
        {
            let fresh = IndexSectionHeader::fresh(name, block_size, len, 1).unwrap();
            assert_eq!((fresh.blocks, fresh.start, fresh.stop), (blocks, 0, 0));
            assert_eq!(IndexSectionHeader::parse(&fresh.encode()), Ok(fresh));
        }
        assert!(IndexSectionHeader::fresh(name, 8192, 794_624, 1).is_err());
        assert!(IndexSectionHeader::fresh(name, 512, 1 << 50, 1).is_err());
    }

    #[test]
    fn finds_its_buckets() {
        let second = IndexSectionHeader { start: 287, stop: 446, blocks: 159, ..section() };
        assert_eq!(second.bucket_offset(330), Some(1_146_880));
        assert_eq!(second.bucket_offset(286), None);
        assert_eq!(second.bucket_offset(446), None);
    }

    #[test]
    fn version_1_has_no_bucket_magic() {
        let old = IndexSectionHeader { bucket_magic: 0, ..section() };
        let sector = old.encode();
        assert_eq!(sector[7], 1);
        assert_eq!(IndexSectionHeader::parse(&sector), Ok(old));
    }

    #[test]
    fn says_what_is_wrong() {
        let good = section().encode();
        for (at, value, expected) in [
            (0, 0, "index section header: magic number is 0x005c5ec7"),
            (7, 3, "index section header: version 3 is unknown"),
            (8, 0, "index section header: name: a name has at least"),
            (72, 7, "index section header: index name: a name has printable"),
            (139, 1, "index section header: block size is 8193"),
            (143, 1, "index section header: block base is 794625"),
            (148, 1, "index section header: start is 16777216, must be no more than stop"),
            (154, 2, "index section header: stop is 543, must be no more than start and"),
        ] {
            let mut bad = good;
            bad[at] = value;
            let found = IndexSectionHeader::parse(&bad).unwrap_err().to_string();
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        never_panics(&section().encode(), |bytes| {
            if let Ok(header) = IndexSectionHeader::parse(bytes) {
                assert_eq!(IndexSectionHeader::parse(&header.encode()), Ok(header));
                header.bucket_offset(header.stop);
                header.claimed_len();
            }
        });
    }
}
