//! From the kernel as it is linked to what 9front's loaders start: a Plan 9 executable, a.out(6).
//!
//! The loader reads text and data to where the entry says, one behind the other at page boundaries, clears the rest, and jumps
//! to the first byte of the text: 32 bits, paging off, nothing in the registers (`bootkern` in `sys/src/boot/pc/sub.c` and
//! `sys/src/boot/efi/sub.c` of 9front). So a page in front of the kernel tells it where the loader left its words and goes
//! on to the kernel's own entry.

use anyhow::{Context, ensure};
use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object};

/// `I_MAGIC`: the loader expects nothing between header and text.
const MAGIC: u32 = 0x1eb;
const HEADER_LEN: usize = 32;
const PAGE: u64 = 4096;
/// The loader leaves the upper four bits of the entry out.
const ADDRESS_END: u64 = 0x1000_0000;
/// Where it leaves its words (`CONFADDR`); the kernel's entry takes that in EBX.
const CONFIGURATION: u32 = 0x1200;

/// One of the kernel's segments.
struct Segment<'a> {
    address: u64,
    bytes: &'a [u8],
    len: u64,
    is_code: bool,
}

/// Makes an executable of the kernel's ELF file.
///
/// # Errors
/// If it is not one that the kernel's linker script leaves.
pub fn from_elf(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let elf = ElfFile64::<Endianness>::parse(file).context("it is not a 64 bit ELF file")?;
    let segments = segments(&elf)?;
    let (first, last) = (segments.first().context("it has no segments")?, segments.last());
    let last = last.context("it has no segments")?;
    let text_end = (first.address + first.len).next_multiple_of(PAGE);
    ensure!(first.is_code && first.address.is_multiple_of(PAGE), "it does not begin with a page of code");
    ensure!(segments[1..].iter().all(|segment| segment.address >= text_end), "its segments overlap");
    ensure!(last.address + last.len <= ADDRESS_END, "it lies too high for the loader: from 256 MiB on");
    let entry = first.address - PAGE;
    let mut text = stub(u32::try_from(elf.entry()).context("its entry lies too high")?);
    place(&mut text, entry, first)?;
    text.resize(usize::try_from(text_end - entry)?, 0);
    let mut data = Vec::new();
    segments[1..].iter().try_for_each(|segment| place(&mut data, text_end, segment))?;
    let cleared =
        (last.address + last.len).saturating_sub((text_end + data.len() as u64).next_multiple_of(PAGE));
    let mut made = Vec::with_capacity(HEADER_LEN + text.len() + data.len());
    for number in [MAGIC.into(), text.len() as u64, data.len() as u64, cleared, 0, entry, 0, 0] {
        made.extend_from_slice(&u32::try_from(number)?.to_be_bytes());
    }
    made.extend_from_slice(&text);
    made.extend_from_slice(&data);
    Ok(made)
}

/// The segments that are loaded, in the order of their addresses.
fn segments<'a>(elf: &ElfFile64<'a, Endianness>) -> anyhow::Result<Vec<Segment<'a>>> {
    let (header, endian) = (elf.elf_header(), elf.endian());
    let mut segments = Vec::new();
    for program in header.program_headers(endian, elf.data())? {
        let (address, len) = (program.p_paddr(endian), program.p_memsz(endian));
        if program.p_type(endian) != PT_LOAD || len == 0 {
            continue;
        }
        let bytes = program.data(endian, elf.data()).ok().context("a segment is cut off")?;
        let is_possible = bytes.len() as u64 <= len && len < ADDRESS_END;
        ensure!(is_possible && (PAGE..ADDRESS_END).contains(&address), "a segment cannot be");
        segments.push(Segment { address, bytes, len, is_code: program.p_flags(endian) & PF_X != 0 });
    }
    segments.sort_by_key(|segment| segment.address);
    Ok(segments)
}

/// Puts a segment where it belongs in what begins at `begin`.
fn place(target: &mut Vec<u8>, begin: u64, segment: &Segment<'_>) -> anyhow::Result<()> {
    let at = usize::try_from(segment.address - begin)?;
    ensure!(at >= target.len(), "its segments overlap");
    target.resize(at, 0);
    target.extend_from_slice(segment.bytes);
    Ok(())
}

/// `mov ebx, CONFIGURATION; mov eax, kernel; jmp eax`, and zeros to the end of the page.
fn stub(kernel: u32) -> Vec<u8> {
    let mut code = vec![0xbb];
    code.extend_from_slice(&CONFIGURATION.to_le_bytes());
    code.push(0xb8);
    code.extend_from_slice(&kernel.to_le_bytes());
    code.extend_from_slice(&[0xff, 0xe0]);
    code.resize(PAGE as usize, 0);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with these segments: address, bytes, length in memory, flags.
    fn elf(entry: u64, segments: &[(u64, &[u8], u64, u32)]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend_from_slice(&[2, 0, 62, 0, 1, 0, 0, 0]);
        file.extend_from_slice(&entry.to_le_bytes());
        file.extend_from_slice(&64_u64.to_le_bytes());
        file.extend_from_slice(&[0; 12]);
        file.extend_from_slice(&[64, 0, 56, 0, segments.len() as u8, 0, 64, 0, 0, 0, 0, 0]);
        let mut at = 64 + 56 * segments.len() as u64;
        for (address, bytes, len, flags) in segments {
            file.extend_from_slice(&1_u32.to_le_bytes());
            file.extend_from_slice(&flags.to_le_bytes());
            for number in [at, *address, *address, bytes.len() as u64, *len, 4096] {
                file.extend_from_slice(&number.to_le_bytes());
            }
            at += bytes.len() as u64;
        }
        segments.iter().for_each(|(_, bytes, ..)| file.extend_from_slice(bytes));
        file
    }

    /// What 9front's loader does with a kernel: memory from the entry on. All that it does not write is 0xee.
    fn load(made: &[u8]) -> (usize, Vec<u8>) {
        let number = |at: usize| u32::from_be_bytes(made[4 * at..4 * at + 4].try_into().unwrap()) as usize;
        let [magic, text, data, bss, _, entry] = [0, 1, 2, 3, 4, 5].map(number);
        assert_eq!(magic, 0x1eb);
        let mut memory = vec![0xee; text.next_multiple_of(4096) + data + bss + 3 * 4096];
        memory[..text].copy_from_slice(&made[32..32 + text]);
        let data_at = text.next_multiple_of(4096);
        memory[text..data_at].fill(0);
        memory[data_at..data_at + data].copy_from_slice(&made[32 + text..32 + text + data]);
        assert_eq!(made.len(), 32 + text + data, "nothing is left over");
        let end = (data_at + data).next_multiple_of(4096) + bss.next_multiple_of(4096);
        memory[data_at + data..end].fill(0);
        (entry & 0x0fff_ffff, memory)
    }

    #[test]
    fn the_loader_finds_everything_where_the_kernel_expects_it() {
        let code = [0x90; 5000];
        let segments: [(u64, &[u8], u64, u32); 3] = [
            (0x200_0000, &code, 5000, 5),
            (0x200_2000, b"constants", 9, 4),
            (0x200_3000, b"data", 0x2345, 6),
        ];
        let (entry, memory) = load(&from_elf(&elf(0x200_0000, &segments)).unwrap());
        assert_eq!(entry, 0x1ff_f000);
        // mov ebx, 0x1200; mov eax, 0x2000000; jmp eax
        assert_eq!(memory[..12], [0xbb, 0, 0x12, 0, 0, 0xb8, 0, 0, 0, 2, 0xff, 0xe0]);
        for (address, bytes, len, _) in segments {
            let at = address as usize - entry;
            assert_eq!(&memory[at..at + bytes.len()], bytes);
            assert!(memory[at + bytes.len()..at + len as usize].iter().all(|&byte| byte == 0), "{address:x}");
        }
    }

    #[test]
    fn what_the_loader_cannot_place_is_refused() {
        let refused = |segments: &[(u64, &[u8], u64, u32)]| from_elf(&elf(0x200_0000, segments)).is_err();
        assert!(!refused(&[(0x200_0000, b"code", 4, 5)]));
        assert!(refused(&[]));
        assert!(refused(&[(0x200_0000, b"data", 4, 6)]));
        assert!(refused(&[(0x200_0010, b"code", 4, 5)]));
        assert!(refused(&[(0xfff_f000, b"code", 4, 5), (0x1000_0000, b"data", 4, 6)]));
        assert!(refused(&[(0x200_0000, b"code", 4, 5), (0x200_0800, b"data", 4, 6)]));
        assert!(refused(&[(0x200_0000, b"code", u64::MAX, 5)]));
        assert!(from_elf(b"\x7fELF").is_err() && from_elf(b"").is_err());
    }
}
