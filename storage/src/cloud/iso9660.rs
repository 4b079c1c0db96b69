//! Files on a CD image (ECMA-119, which is ISO 9660), by the long names that clouds give them: those of Joliet (its
//! specification of 1995, names in UCS-2), else those of Rock Ridge (IEEE P1282, `NM`), else the plain ones.
//!
//! Knows volume descriptors, directories and names. Must not know what a file is for. Reads only, and little: everything
//! that the image says of places and sizes is bounded here or by the device.

use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// Bytes of a block; images with others are as rare as CDs with them.
const BLOCK: usize = 2048;
/// The first descriptor.
const FIRST_DESCRIPTOR: u64 = 16;
/// Descriptors that are looked at.
const DESCRIPTORS_MAX: u64 = 16;
/// Bytes of a directory that are read.
const DIRECTORY_LEN_MAX: u32 = 64 << 10;
/// What a record of a directory has in front of its name.
const RECORD_HEAD: usize = 33;

const IS_DIRECTORY: u8 = 2;
const GOES_ON_ELSEWHERE: u8 = 0x80;

/// Why a file of an image cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A directory of more than 64 KiB.
    #[error("a directory of the CD image has {0} bytes, more than is read")]
    Directory(u32),
    /// A file that is too long.
    #[error("{name} on the CD image has {len} bytes, more than is read")]
    TooLong {
        /// Its name.
        name: String,
        /// Its bytes.
        len: u32,
    },
    /// A file in several pieces, as only those of gigabytes have to be.
    #[error("{0} on the CD image is in several pieces, which is not read")]
    Pieces(String),
}

/// A file or directory: where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    block: u32,
    len: u32,
    flags: u8,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Iso<'a, D> {
    device: &'a D,
    /// What the volume is called.
    pub label: String,
    root: Extent,
    is_joliet: bool,
}

/// Looks for an image on a device; `None` where there is none.
///
/// # Errors
/// Those of the device.
pub async fn open<D: BlockDevice>(device: &D) -> Result<Option<Iso<'_, D>>, DeviceError> {
    let mut iso: Option<Iso<'_, D>> = None;
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS_MAX {
        if (number + 1) * BLOCK as u64 > size_bytes(device) {
            break;
        }
        let block = read_bytes(device, number * BLOCK as u64, BLOCK).await?;
        let magic = block.get(1..6);
        let kind = block.first().copied().filter(|_| magic == Some(b"CD001"));
        let Some(root) = block.get(156..190).and_then(extent) else { break };
        match kind {
            Some(1) if u16_at(&block, 128) == Some(BLOCK as u16) => {
                let label = String::from_utf8_lossy(block.get(40..72).unwrap_or_default()).trim().to_string();
                iso = Some(Iso { device, label, root, is_joliet: false });
            }
            Some(2) if block.get(88..90) == Some(b"%/") => {
                if let Some(iso) = &mut iso {
                    (iso.root, iso.is_joliet) = (root, true);
                }
            }
            Some(0..=3) => {}
            _ => break,
        }
    }
    Ok(iso)
}

impl<D: BlockDevice> Iso<'_, D> {
    /// The content of a file, which must not have more than `len_max` bytes; `None` where there is none of that name. Names
    /// are separated by `/`, and capitals count as small letters.
    ///
    /// # Errors
    /// See [`IsoError`].
    pub async fn read(&self, path: &str, len_max: u32) -> Result<Option<Bytes>, IsoError> {
        let mut at = self.root;
        for name in path.split('/') {
            if at.flags & IS_DIRECTORY == 0 {
                return Ok(None);
            }
            if at.len > DIRECTORY_LEN_MAX {
                return Err(IsoError::Directory(at.len));
            }
            let directory = self.extent(at).await?;
            let Some(found) = find(&directory, name, self.is_joliet) else { return Ok(None) };
            at = found;
        }
        let name = || path.to_string();
        match at {
            Extent { flags, .. } if flags & IS_DIRECTORY != 0 => Ok(None),
            Extent { flags, .. } if flags & GOES_ON_ELSEWHERE != 0 => Err(IsoError::Pieces(name())),
            Extent { len, .. } if len > len_max => Err(IsoError::TooLong { name: name(), len }),
            file => Ok(Some(self.extent(file).await?)),
        }
    }

    async fn extent(&self, extent: Extent) -> Result<Bytes, DeviceError> {
        read_bytes(self.device, u64::from(extent.block) * BLOCK as u64, extent.len as usize).await
    }
}

/// The file of this name in a directory.
fn find(directory: &[u8], wanted: &str, is_joliet: bool) -> Option<Extent> {
    // No record reaches over the end of a block; a length of zero ends those of one.
    directory.chunks(BLOCK).find_map(|block| {
        let mut rest = block;
        while let Some(len) = rest.first().map(|len| usize::from(*len)).filter(|len| *len > RECORD_HEAD) {
            let (record, behind) = rest.split_at_checked(len)?;
            if name(record, is_joliet).is_some_and(|name| name.eq_ignore_ascii_case(wanted)) {
                return extent(record);
            }
            rest = behind;
        }
        None
    })
}

/// The longest name of a record.
fn name(record: &[u8], is_joliet: bool) -> Option<String> {
    let len = usize::from(*record.get(32)?);
    let plain = record.get(RECORD_HEAD..RECORD_HEAD + len)?;
    if is_joliet {
        let units =
            plain.chunks_exact(2).filter_map(|unit| unit.first_chunk().map(|unit| u16::from_be_bytes(*unit)));
        let name: String =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        return Some(without_version(&name).to_string());
    }
    // Behind the name, at an even place, extensions have their entries.
    let behind = record.get(RECORD_HEAD + len + usize::from(len.is_multiple_of(2))..).unwrap_or_default();
    rock_ridge(behind)
        .or_else(|| core::str::from_utf8(plain).ok().map(|name| without_version(name).to_string()))
}

/// `FILE.;1` is `FILE`.
fn without_version(name: &str) -> &str {
    let name = name.rsplit_once(';').map_or(name, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

/// The name that entries of Rock Ridge give: all of their `NM`.
fn rock_ridge(mut entries: &[u8]) -> Option<String> {
    let mut name = Vec::new();
    while let [first, second, len, _version, content @ ..] = entries {
        let content = content.get(..usize::from(*len).checked_sub(4)?)?;
        // One byte of flags: those of `.`, `..` and of names that nobody writes.
        if let (b"NM", [0 | 1, part @ ..]) = (&[*first, *second], content) {
            name.extend_from_slice(part);
        }
        entries = entries.get(usize::from(*len)..)?;
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

fn extent(record: &[u8]) -> Option<Extent> {
    let word = |at: usize| record.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word));
    Some(Extent { block: word(2)?, len: word(10)?, flags: *record.get(25)? })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_le_bytes(*word))
}
