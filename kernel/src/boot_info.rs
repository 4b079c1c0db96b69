//! What the loader tells us, in one form for every way to boot.
//!
//! Knows the PVH start_info (Xen's `hvm/start_info.h`, version 1), and what 9front's loaders say in its place. Must not
//! know who loaded us. Everything is copied
//! out before memory is used: the loader's structures lie anywhere in ordinary RAM.

pub mod plan9;
pub mod screen;
pub mod smbios;

use heapless::{String, Vec};
use screen::{SCREEN_LEN, Screen};

/// Memory regions that we remember; the rest of a longer map is left unused.
pub const REGIONS_MAX: usize = crate::loader::regions::REGIONS_MAX;
/// Bytes of command line that we remember.
pub const COMMAND_LINE_MAX: usize = 2048;

const START_INFO_MAGIC: u32 = 0x336e_c578;
const START_INFO_LEN: usize = 56;
const MAP_ENTRY_LEN: usize = 24;
const MODULE_LEN: usize = 32;
/// Modules that are looked at.
const MODULES_MAX: u64 = 16;

/// A stretch of the physical address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    /// First byte.
    pub start: u64,
    /// First byte behind.
    pub end: u64,
    /// What it is for.
    pub kind: MemoryKind,
}

/// What a region of the memory map is for (ACPI 6.5, table 15.2: address range types).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// RAM for us.
    Usable,
    /// ACPI tables; we leave them where they are.
    AcpiTables,
    /// Anything else: not for us.
    Reserved,
}

/// Where the linker put us: page-aligned addresses, each section up to the next.
#[derive(Clone, Copy, Debug)]
pub struct KernelImage {
    /// Start of the code.
    pub text: usize,
    /// Start of what is never written.
    pub rodata: usize,
    /// Start of what is written.
    pub data: usize,
    /// First byte behind the kernel.
    pub end: usize,
    /// The page below the first stack.
    pub stack_guard: usize,
}

/// All that a loader hands over.
#[derive(Clone, Debug)]
pub struct BootInfo {
    /// The memory map, as given: perhaps unsorted, perhaps overlapping.
    pub memory: Vec<MemoryRegion, REGIONS_MAX>,
    /// The words after the kernel's name; what does not fit or is not text is cut off.
    pub command_line: String<COMMAND_LINE_MAX>,
    /// Where ACPI's root pointer lies, if the loader knows.
    pub rsdp: Option<u64>,
    /// The screen, if the loader knows of one.
    pub screen: Option<Screen>,
    /// Where SMBIOS's entry point lies, if the loader knows.
    pub smbios: Option<u64>,
    /// Where the kernel lies.
    pub image: KernelImage,
}

/// Bytes of physical memory, while they are where the loader left them.
trait Physical {
    /// Copies memory from `address` on into `target`.
    fn copy(&self, address: u64, target: &mut [u8]);
}

impl BootInfo {
    /// Copies what a PVH loader left at `start_info`, or 9front's loader if that is [`plan9::ADDRESS`]. With a wrong magic
    /// number the result holds no memory at all, which [`crate::start`] reports.
    ///
    /// # Safety
    /// A loader must have put its start_info there, and the memory that it points at must be mapped.
    pub unsafe fn from_pvh(start_info: u32, image: KernelImage) -> BootInfo {
        struct Mapped;
        impl Physical for Mapped {
            fn copy(&self, address: u64, target: &mut [u8]) {
                for (source, byte) in (address as usize..).zip(target) {
                    let source = core::ptr::with_exposed_provenance::<u8>(source);
                    // SAFETY: the caller of `from_pvh` promised that the loader's memory is there and mapped.
                    *byte = unsafe { source.read_volatile() };
                }
            }
        }
        parse(&Mapped, u64::from(start_info), image)
    }
}

fn parse(physical: &impl Physical, start_info: u64, image: KernelImage) -> BootInfo {
    let (memory, command_line) = (Vec::new(), String::new());
    let mut info = BootInfo { memory, command_line, rsdp: None, screen: None, smbios: None, image };
    let mut header = [0; START_INFO_LEN];
    physical.copy(start_info, &mut header);
    if u32_at(&header, 0) == START_INFO_MAGIC && u32_at(&header, 4) >= 1 {
        read_pvh(physical, &header, &mut info);
    } else if start_info == u64::from(plan9::ADDRESS) {
        plan9::read(physical, &mut info);
    }
    info
}

fn read_pvh(physical: &impl Physical, header: &[u8; START_INFO_LEN], info: &mut BootInfo) {
    info.command_line = read_command_line(physical, u64_at(header, 24));
    info.rsdp = Some(u64_at(header, 32)).filter(|&address| address != 0);
    let modules = || modules(physical, u64_at(header, 16), u32_at(header, 12));
    info.screen = modules().find_map(|module| Screen::parse(&module));
    info.smbios = modules().find_map(|module| smbios::parse(&module));
    let map = u64_at(header, 40);
    let entries = u64::from(u32_at(header, 48)).min(REGIONS_MAX as u64);
    for index in 0..entries {
        let mut entry = [0; MAP_ENTRY_LEN];
        physical.copy(map.saturating_add(index * MAP_ENTRY_LEN as u64), &mut entry);
        let (start, len) = (u64_at(&entry, 0), u64_at(&entry, 8));
        let kind = match u32_at(&entry, 16) {
            1 => MemoryKind::Usable,
            3 => MemoryKind::AcpiTables,
            _ => MemoryKind::Reserved,
        };
        if len > 0 && info.memory.push(MemoryRegion { start, end: start.saturating_add(len), kind }).is_err()
        {
            break;
        }
    }
}

/// The first bytes of each module: as many as it has, and of ours the longest.
fn modules(physical: &impl Physical, list: u64, count: u32) -> impl Iterator<Item = Vec<u8, SCREEN_LEN>> {
    (0..u64::from(count).min(MODULES_MAX)).map(move |index| {
        let mut module = [0; MODULE_LEN];
        physical.copy(list.saturating_add(index * MODULE_LEN as u64), &mut module);
        let mut bytes = [0; SCREEN_LEN];
        let len = usize::try_from(u64_at(&module, 8)).unwrap_or(usize::MAX).min(SCREEN_LEN);
        physical.copy(u64_at(&module, 0), &mut bytes[..len]);
        bytes[..len].iter().copied().collect()
    })
}

fn read_command_line(physical: &impl Physical, address: u64) -> String<COMMAND_LINE_MAX> {
    let mut line = String::new();
    if address == 0 {
        return line;
    }
    for offset in 0..COMMAND_LINE_MAX as u64 {
        let mut byte = [0];
        physical.copy(address.saturating_add(offset), &mut byte);
        if byte == [0] || !byte.is_ascii() || line.push(char::from(byte[0])).is_err() {
            break;
        }
    }
    line
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk).copied();
    u32::from_le_bytes(field.unwrap_or_default())
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk).copied();
    u64::from_le_bytes(field.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec as StdVec;

    pub(super) const IMAGE: KernelImage = KernelImage { text: 0, rodata: 0, data: 0, end: 0, stack_guard: 0 };

    pub(super) struct Ram(pub(super) StdVec<u8>);
    impl Physical for Ram {
        fn copy(&self, address: u64, target: &mut [u8]) {
            for (index, byte) in target.iter_mut().enumerate() {
                *byte = self.0.get(address as usize + index).copied().unwrap_or(0);
            }
        }
    }

    fn machine(entries: &[(u64, u64, u32)], line: &str) -> Ram {
        let mut ram = std::vec![0; 0x3000];
        ram[0x100..0x104].copy_from_slice(&START_INFO_MAGIC.to_le_bytes());
        ram[0x104] = 1;
        ram[0x100 + 24..0x100 + 32].copy_from_slice(&0x200u64.to_le_bytes());
        ram[0x100 + 32..0x100 + 40].copy_from_slice(&0xf_5a60u64.to_le_bytes());
        ram[0x100 + 40..0x100 + 48].copy_from_slice(&0x1000u64.to_le_bytes());
        ram[0x100 + 48..0x100 + 52].copy_from_slice(&(entries.len() as u32).to_le_bytes());
        ram[0x200..0x200 + line.len()].copy_from_slice(line.as_bytes());
        for (index, &(start, len, kind)) in entries.iter().enumerate() {
            let at = 0x1000 + index * MAP_ENTRY_LEN;
            ram[at..at + 8].copy_from_slice(&start.to_le_bytes());
            ram[at + 8..at + 16].copy_from_slice(&len.to_le_bytes());
            ram[at + 16..at + 20].copy_from_slice(&kind.to_le_bytes());
        }
        Ram(ram)
    }

    #[test]
    fn reads_map_command_line_and_root_pointer() {
        let ram = machine(&[(0, 0x9fc00, 1), (0x7fe_0000, 0x2_0000, 2), (0, 0, 0)], "selftest panic=halt");
        let info = parse(&ram, 0x100, IMAGE);
        assert_eq!(info.command_line.as_str(), "selftest panic=halt");
        assert_eq!(info.rsdp, Some(0xf_5a60));
        let usable = MemoryRegion { start: 0, end: 0x9fc00, kind: MemoryKind::Usable };
        let reserved = MemoryRegion { start: 0x7fe_0000, end: 0x800_0000, kind: MemoryKind::Reserved };
        assert_eq!(info.memory.as_slice(), [usable, reserved]);
    }

    #[test]
    fn a_screen_is_found_among_the_modules() {
        let mut ram = machine(&[], "");
        let format = screen::PixelFormat::Rgb;
        let described = Screen { address: 0x8000_0000, pitch: 4096, width: 1024, height: 768, format };
        ram.0[0x900..0x900 + SCREEN_LEN].copy_from_slice(&described.encode());
        // Two modules at 0x800: somebody else's, and the screen.
        for (at, address) in [(0x800, 0x200_u64), (0x820, 0x900)] {
            ram.0[at..at + 8].copy_from_slice(&address.to_le_bytes());
            ram.0[at + 8] = SCREEN_LEN as u8;
        }
        ram.0[0x100 + 16..0x100 + 24].copy_from_slice(&0x800_u64.to_le_bytes());
        let with = |ram: &mut Ram, count: u8| {
            ram.0[0x100 + 12] = count;
            parse(ram, 0x100, IMAGE).screen
        };
        assert_eq!(with(&mut ram, 1), None);
        assert_eq!(with(&mut ram, 2), Some(described));
        ram.0[0x828] = 8;
        assert_eq!(with(&mut ram, 2), None, "a module that is too short");
        ram.0[0x100 + 12..0x100 + 16].fill(0xff);
        assert_eq!(parse(&ram, 0x100, IMAGE).screen, None);
    }

    #[test]
    fn smbios_is_found_beside_a_screen() {
        let mut ram = machine(&[], "");
        ram.0[0x900..0x900 + smbios::SMBIOS_LEN].copy_from_slice(&smbios::encode(0x7f00_1000));
        for (at, address) in [(0x800, 0x200_u64), (0x820, 0x900)] {
            ram.0[at..at + 8].copy_from_slice(&address.to_le_bytes());
            ram.0[at + 8] = smbios::SMBIOS_LEN as u8;
        }
        ram.0[0x100 + 16..0x100 + 24].copy_from_slice(&0x800_u64.to_le_bytes());
        ram.0[0x100 + 12] = 2;
        let info = parse(&ram, 0x100, IMAGE);
        assert_eq!((info.screen, info.smbios), (None, Some(0x7f00_1000)));
        ram.0[0x828] = 15;
        assert_eq!(parse(&ram, 0x100, IMAGE).smbios, None, "a module that is too short");
    }

    #[test]
    fn a_wrong_magic_number_yields_no_memory() {
        let mut ram = machine(&[(0, 0x9fc00, 1)], "x");
        ram.0[0x100] ^= 1;
        assert!(parse(&ram, 0x100, IMAGE).memory.is_empty());
    }

    #[test]
    fn lengths_that_lie_are_cut() {
        let ram = machine(&[(u64::MAX - 5, 100, 1)], &"y".repeat(0x900));
        let info = parse(&ram, 0x100, IMAGE);
        assert_eq!(info.command_line.len(), COMMAND_LINE_MAX);
        assert_eq!(info.memory[0].end, u64::MAX);
    }
}
