//! What a boot loader must know: where a kernel is, where its parts go, where it begins, and how to tell it of the machine.
//!
//! | part | what |
//! |---|---|
//! | `choice` | which of the kernels in 9fat is started, and that it is whole |
//! | `nine_fat` | where a disk keeps them |
//! | [`identity`], [`regions`] | page tables and memory maps |
//!
//! Knows ELF's program headers (System V ABI, chapter 5), the note that names the entry, and PVH's start_info (Xen's
//! `hvm/start_info.h`, version 1). Must not know firmware, nor touch memory: the loaders do.

mod choice;
pub mod identity;
mod nine_fat;
pub mod regions;

pub use choice::{Choice, Unusable};
pub use nine_fat::{NoVolume, at_once, open_9fat};

use heapless::Vec;

/// Bytes of a kernel file that every loader holds: a BIOS loader reads it into the memory below 16 MiB.
pub const FILE_LEN_MAX: usize = 12 << 20;
/// Loadable segments that a kernel may have.
pub const SEGMENTS_MAX: usize = 8;
/// Bytes of a start_info.
pub const START_INFO_LEN: usize = 56;
/// Bytes of one region of its memory map.
pub const MAP_ENTRY_LEN: usize = 24;
/// Bytes of one entry of its list of modules.
pub const MODULE_LEN: usize = 32;

const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
/// 64 bits, little-endian, version 1.
const ELF_IDENT: [u8; 3] = [2, 1, 1];
const MACHINE_X86_64: u16 = 62;
const PROGRAM_HEADER_LEN: usize = 56;
const PROGRAM_HEADERS_MAX: usize = 64;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
const NOTE_NAME: [u8; 4] = *b"Xen\0";
const NOTE_ENTRY: u32 = 18;
const START_INFO_MAGIC: u32 = 0x336e_c578;

/// A part of the kernel, and where it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Physical address of its first byte.
    pub address: u64,
    /// What stands there.
    pub bytes: &'a [u8],
    /// Bytes that it takes; what `bytes` does not fill is zero. At least as many as `bytes`.
    pub len: u64,
}

/// A kernel file that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFile<'a> {
    /// Its parts, none of them empty.
    pub segments: Vec<Segment<'a>, SEGMENTS_MAX>,
    /// Where it begins, in 32 bit protected mode.
    pub entry: u32,
}

/// Why a file is not a kernel that we can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKernel {
    /// Not an ELF file for this processor.
    #[error("not an ELF file for x86_64")]
    NotElf,
    /// A header that points outside the file, or has impossible numbers.
    #[error("its headers are damaged: perhaps it was not copied whole")]
    Damaged,
    /// More segments than any kernel of ours has.
    #[error("too many segments")]
    TooManySegments,
    /// Nothing says where it begins.
    #[error("it has no PVH entry, so it is not a kernel of Granary")]
    NoEntry,
}

impl<'a> KernelFile<'a> {
    /// Reads the headers of a whole kernel file.
    ///
    /// # Errors
    /// See [`BadKernel`].
    pub fn parse(file: &'a [u8]) -> Result<KernelFile<'a>, BadKernel> {
        let is_elf = file.starts_with(&ELF_MAGIC) && file.get(4..7) == Some(&ELF_IDENT);
        if !is_elf || u16_at(file, 18)? != MACHINE_X86_64 {
            return Err(BadKernel::NotElf);
        }
        let headers_at = usize::try_from(u64_at(file, 32)?).map_err(|_| BadKernel::Damaged)?;
        let (header_len, count) = (usize::from(u16_at(file, 54)?), usize::from(u16_at(file, 56)?));
        if header_len < PROGRAM_HEADER_LEN || count > PROGRAM_HEADERS_MAX {
            return Err(BadKernel::Damaged);
        }
        let mut kernel = KernelFile { segments: Vec::new(), entry: 0 };
        let headers = file.get(headers_at..).ok_or(BadKernel::Damaged)?;
        for header in headers.chunks_exact(header_len).take(count) {
            match u32_at(header, 0)? {
                LOAD => kernel.add_segment(file, header)?,
                NOTE => kernel.look_for_entry(content(file, header)?),
                _ => {}
            }
        }
        let inside = |segment: &Segment<'_>| {
            (segment.address..segment.address + segment.len).contains(&u64::from(kernel.entry))
        };
        if kernel.entry == 0 || !kernel.segments.iter().any(inside) {
            return Err(BadKernel::NoEntry);
        }
        Ok(kernel)
    }

    fn add_segment(&mut self, file: &'a [u8], header: &[u8]) -> Result<(), BadKernel> {
        let (address, len) = (u64_at(header, 24)?, u64_at(header, 40)?);
        let bytes = content(file, header)?;
        if len < bytes.len() as u64 || address.checked_add(len).is_none() {
            return Err(BadKernel::Damaged);
        }
        if len == 0 {
            return Ok(());
        }
        self.segments.push(Segment { address, bytes, len }).map_err(|_| BadKernel::TooManySegments)
    }

    /// Notes are pairs of lengths, a kind, a name and a value, each padded to four bytes.
    fn look_for_entry(&mut self, mut notes: &[u8]) {
        while let (Ok(name_len), Ok(value_len), Ok(kind)) =
            (u32_at(notes, 0), u32_at(notes, 4), u32_at(notes, 8))
        {
            let padded = |len: u32| usize::try_from(len).map_or(usize::MAX, |len| len.saturating_add(3) & !3);
            let value_at = padded(name_len).saturating_add(12);
            let is_entry = kind == NOTE_ENTRY && notes.get(12..16) == Some(&NOTE_NAME) && name_len == 4;
            if let (true, Ok(entry)) = (is_entry && value_len >= 4, u32_at(notes, value_at)) {
                self.entry = entry;
            }
            notes = notes.get(value_at.saturating_add(padded(value_len))..).unwrap_or_default();
        }
    }
}

/// What the file holds of the segment that this program header describes.
fn content<'a>(file: &'a [u8], header: &[u8]) -> Result<&'a [u8], BadKernel> {
    let start = usize::try_from(u64_at(header, 8)?).map_err(|_| BadKernel::Damaged)?;
    let len = usize::try_from(u64_at(header, 32)?).map_err(|_| BadKernel::Damaged)?;
    start.checked_add(len).and_then(|end| file.get(start..end)).ok_or(BadKernel::Damaged)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], BadKernel> {
    bytes.get(at..).and_then(<[u8]>::first_chunk).copied().ok_or(BadKernel::Damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BadKernel> {
    field(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BadKernel> {
    field(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, BadKernel> {
    field(bytes, at).map(u64::from_le_bytes)
}

/// Where a loader has put what start_info points at. Physical addresses; 0 for what there is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handover {
    /// The command line, which ends with a zero byte.
    pub command_line: u64,
    /// ACPI's root pointer.
    pub rsdp: u64,
    /// The memory map: regions as [`map_entry`] makes them, one behind the other.
    pub map: u64,
    /// How many.
    pub map_entries: u32,
    /// The list of modules, as [`module`] makes its entries.
    pub modules: u64,
    /// How many.
    pub module_count: u32,
}

impl Handover {
    /// The start_info that says so.
    pub fn encode(&self) -> [u8; START_INFO_LEN] {
        let mut bytes = [0; START_INFO_LEN];
        bytes[..4].copy_from_slice(&START_INFO_MAGIC.to_le_bytes());
        bytes[4] = 1;
        bytes[12..16].copy_from_slice(&self.module_count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.modules.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.command_line.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.rsdp.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.map.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.map_entries.to_le_bytes());
        bytes
    }
}

/// One region of the memory map. `kind`: as ACPI numbers address ranges, 1 is RAM.
pub fn map_entry(start: u64, len: u64, kind: u32) -> [u8; MAP_ENTRY_LEN] {
    let mut bytes = [0; MAP_ENTRY_LEN];
    bytes[..8].copy_from_slice(&start.to_le_bytes());
    bytes[8..16].copy_from_slice(&len.to_le_bytes());
    bytes[16..20].copy_from_slice(&kind.to_le_bytes());
    bytes
}

/// One entry of the list of modules: what a loader has brought along at `address`.
pub fn module(address: u64, len: u64) -> [u8; MODULE_LEN] {
    let mut bytes = [0; MODULE_LEN];
    bytes[..8].copy_from_slice(&address.to_le_bytes());
    bytes[8..16].copy_from_slice(&len.to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests;
