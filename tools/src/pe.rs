//! From the EFI loader as it is linked, a movable ELF file, to what firmware starts: a PE file.
//!
//! Three sections keep their addresses (code, constants, data: see the loader's linker script), and what must change when firmware
//! moves the file is listed in a fourth. Knows what firmware that looks closely asks for: sections on pages of their own,
//! none both written and run, sizes that add up, relocations that are there, a checksum. Must not know what the loader does.

use anyhow::{Context, bail, ensure};
use object::pe;
use object::read::elf::{ElfFile64, FileHeader};
use object::write::pe::{NtHeaders, SectionRange, Writer};
use object::{Endianness, Object, ObjectSection, elf};

/// Sections begin at multiples of this in memory: pages, so that each can have rights of its own.
const SECTION_ALIGNMENT: u32 = 4096;
/// And of this in the file.
const FILE_ALIGNMENT: u32 = 512;
const DIRECTORIES: usize = 16;
const SECTIONS: u16 = 4;
/// The checksum's place behind the PE signature.
const CHECKSUM_AT: usize = 4 + 20 + 64;
/// Bytes of one ELF relocation.
const RELOCATION_LEN: usize = 24;

const CODE: u32 = pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_READ;
const CONSTANTS: u32 = pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ;
const DATA: u32 = CONSTANTS | pe::IMAGE_SCN_MEM_WRITE;

/// A section of the ELF file.
struct Section {
    name: &'static str,
    address: u32,
    bytes: Vec<u8>,
}

/// Makes a PE file of an ELF file.
///
/// # Errors
/// If the file is not one that the loader's linker script leaves.
pub fn from_elf(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let elf = ElfFile64::<Endianness>::parse(file).context("it is not a 64 bit ELF file")?;
    let header = elf.elf_header();
    let is_movable = header.e_type(elf.endian()) == elf::ET_DYN;
    ensure!(
        is_movable && header.e_machine(elf.endian()) == elf::EM_X86_64,
        "it is no movable file for x86_64"
    );
    let mut sections = [section(&elf, ".text")?, section(&elf, ".rodata")?, section(&elf, ".data")?];
    let relocations = relocations(&elf)?;
    let places = relocate(&mut sections, &relocations)?;
    let entry = u32::try_from(elf.entry()).context("its entry lies too high")?;
    let [text, ..] = &sections;
    ensure!(
        entry.checked_sub(text.address).is_some_and(|at| (at as usize) < text.bytes.len()),
        "its entry is not in its code"
    );
    let mut pe = assemble(entry, &sections, &places)?;
    let checksum_at = checksum_place(&pe)?;
    let sum = checksum(&pe);
    pe[checksum_at..checksum_at + 4].copy_from_slice(&sum.to_le_bytes());
    Ok(pe)
}

fn section(elf: &ElfFile64<'_, Endianness>, name: &'static str) -> anyhow::Result<Section> {
    let section = elf.section_by_name(name).with_context(|| format!("it has no section {name}"))?;
    let address = u32::try_from(section.address()).with_context(|| format!("{name} lies too high"))?;
    let bytes = section.data().with_context(|| format!("{name} is cut off"))?.to_owned();
    ensure!(
        !bytes.is_empty() && bytes.len() as u64 == section.size(),
        "{name} is empty, or not all in the file"
    );
    Ok(Section { name, address, bytes })
}

/// Places that hold addresses, and the addresses, as if the file were loaded at 0; in ascending order.
fn relocations(elf: &ElfFile64<'_, Endianness>) -> anyhow::Result<Vec<(u64, u64)>> {
    let Some(table) = elf.section_by_name(".rela.dyn") else { return Ok(Vec::new()) };
    let table = table.data().context(".rela.dyn is cut off")?;
    let mut found = Vec::new();
    for entry in table.chunks_exact(RELOCATION_LEN) {
        let words: Vec<u64> = entry.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let &[place, kind, addend] = words.as_slice() else { bail!(".rela.dyn is cut off") };
        ensure!(
            kind == u64::from(elf::R_X86_64_RELATIVE),
            "relocation {kind:#x} at {place:#x} cannot be said in a PE file"
        );
        found.push((place, addend));
    }
    found.sort_unstable();
    Ok(found)
}

/// Writes the addresses in their places; gives the places.
fn relocate(sections: &mut [Section; 3], relocations: &[(u64, u64)]) -> anyhow::Result<Vec<u32>> {
    let [.., data] = sections;
    let mut places = Vec::new();
    for &(place, address) in relocations {
        let offset = place.checked_sub(u64::from(data.address)).and_then(|at| usize::try_from(at).ok());
        let target = offset.and_then(|at| data.bytes.get_mut(at..at.checked_add(8)?));
        target
            .with_context(|| format!("an address stands at {place:#x}, outside of what can be written"))?
            .copy_from_slice(&address.to_le_bytes());
        places.push(u32::try_from(place)?);
    }
    Ok(places)
}

fn assemble(entry: u32, sections: &[Section; 3], places: &[u32]) -> anyhow::Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut writer = Writer::new(true, SECTION_ALIGNMENT, FILE_ALIGNMENT, &mut file);
    writer.reserve_dos_header_and_stub();
    writer.reserve_nt_headers(DIRECTORIES);
    writer.reserve_section_headers(SECTIONS);
    let mut ranges: Vec<SectionRange> = Vec::new();
    for (section, (name, rights)) in
        sections.iter().zip([(*b".text\0\0\0", CODE), (*b".rdata\0\0", CONSTANTS), (*b".data\0\0\0", DATA)])
    {
        let len = u32::try_from(section.bytes.len())?;
        let range = writer.reserve_section(name, rights, len, len);
        ensure!(
            range.virtual_address == section.address,
            "{} lies at {:#x}, and in a PE file at {:#x}",
            section.name,
            section.address,
            range.virtual_address
        );
        ranges.push(range);
    }
    places.iter().for_each(|place| writer.add_reloc(*place, pe::IMAGE_REL_BASED_DIR64));
    if places.is_empty() {
        // Firmware takes a file without any for one that cannot be moved; this one changes nothing.
        writer.add_reloc(sections[0].address, pe::IMAGE_REL_BASED_ABSOLUTE);
    }
    writer.reserve_reloc_section();
    writer.write_dos_header_and_stub()?;
    writer.write_nt_headers(nt_headers(entry));
    writer.write_section_headers();
    for (section, range) in sections.iter().zip(&ranges) {
        writer.write_section(range.file_offset, &section.bytes);
    }
    writer.write_reloc_section();
    Ok(file)
}

/// No time of making: the same loader is the same file.
fn nt_headers(entry: u32) -> NtHeaders {
    NtHeaders {
        machine: pe::IMAGE_FILE_MACHINE_AMD64,
        time_date_stamp: 0,
        characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE
            | pe::IMAGE_FILE_LINE_NUMS_STRIPPED
            | pe::IMAGE_FILE_LARGE_ADDRESS_AWARE,
        major_linker_version: 0,
        minor_linker_version: 0,
        address_of_entry_point: entry,
        image_base: 0,
        major_operating_system_version: 0,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 0,
        minor_subsystem_version: 0,
        subsystem: pe::IMAGE_SUBSYSTEM_EFI_APPLICATION,
        dll_characteristics: pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
            | pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    }
}

/// Where the headers have their checksum.
fn checksum_place(file: &[u8]) -> anyhow::Result<usize> {
    let at = file.get(60..64).and_then(|bytes| bytes.first_chunk()).context("no DOS header")?;
    let place = u32::from_le_bytes(*at) as usize + CHECKSUM_AT;
    ensure!(place + 4 <= file.len(), "no PE header");
    Ok(place)
}

/// The sum of all 16 bit words, carries added in, and of the length; the checksum itself counts as 0, which it still is here.
fn checksum(file: &[u8]) -> u32 {
    let sum = file.chunks(2).fold(0_u32, |sum, word| {
        let word = [word[0], word.get(1).copied().unwrap_or(0)];
        let sum = sum + u32::from(u16::from_le_bytes(word));
        (sum & 0xffff) + (sum >> 16)
    });
    sum + file.len() as u32
}

#[cfg(test)]
#[path = "../tests/support/elf.rs"]
pub(crate) mod sample;

#[cfg(test)]
#[path = "pe_tests.rs"]
mod tests;
