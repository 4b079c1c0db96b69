//! Loaders that become PE files, looked at by another parser, and files that are refused.

use super::sample::{Elf, elf};
use super::*;
use goblin::pe::PE;

impl Elf {
    /// Other relocations: place, kind, addend of each.
    fn relocations(&mut self, words: &[u64]) {
        self.sections[3].2 = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    }
}

#[test]
fn the_pe_file_has_what_strict_firmware_asks_for() {
    let file = from_elf(&elf().build()).unwrap();
    let parsed = PE::parse(&file).unwrap();
    assert!(parsed.is_64 && !parsed.is_lib);
    assert_eq!(parsed.header.coff_header.machine, 0x8664);
    // Relocations are not stripped.
    assert_eq!(parsed.header.coff_header.characteristics & 1, 0);
    let optional = parsed.header.optional_header.unwrap();
    let windows = optional.windows_fields;
    assert_eq!((windows.subsystem, windows.section_alignment, windows.file_alignment), (10, 4096, 512));
    assert_eq!(windows.dll_characteristics & 0x100, 0x100, "runs where data cannot be executed");
    assert_eq!(optional.standard_fields.address_of_entry_point, 0x1020);
    let last = parsed.sections.last().unwrap();
    assert_eq!(windows.size_of_image, (last.virtual_address + last.virtual_size).next_multiple_of(4096));
    assert_eq!(windows.size_of_headers % 512, 0);
    let mut memory_end = windows.size_of_headers.next_multiple_of(4096);
    let mut file_end = windows.size_of_headers;
    for section in &parsed.sections {
        let writable_code = 0x2000_0000 | 0x8000_0000;
        assert_ne!(section.characteristics & writable_code, writable_code, "{:?}", section.name());
        assert_eq!(section.virtual_address, memory_end, "a hole in front of {:?}", section.name());
        assert_eq!(section.pointer_to_raw_data, file_end, "{:?}", section.name());
        assert_eq!(section.size_of_raw_data, section.virtual_size.next_multiple_of(512));
        memory_end += section.virtual_size.next_multiple_of(4096);
        file_end += section.size_of_raw_data;
    }
    assert_eq!(file.len(), file_end as usize, "bytes behind the last section");
}

#[test]
fn addresses_stand_in_the_data_and_are_listed_for_the_move() {
    let file = from_elf(&elf().build()).unwrap();
    let parsed = PE::parse(&file).unwrap();
    let names: Vec<&str> = parsed.sections.iter().map(|section| section.name().unwrap()).collect();
    assert_eq!(names, [".text", ".rdata", ".data", ".reloc"]);
    let raw = |index: usize| &file[parsed.sections[index].pointer_to_raw_data as usize..];
    assert_eq!(raw(0)[..0x1234], vec![0x90; 0x1234]);
    assert_eq!(raw(2)[..24], [[0x44; 8], 0x3010_u64.to_le_bytes(), [0x44; 8]].concat());
    let directory = parsed.header.optional_header.unwrap().data_directories;
    let directory = directory.get_base_relocation_table().unwrap();
    assert_eq!((directory.virtual_address, directory.size), (0x5000, 12));
    // One block for the page at 0x4000: the place, and one that fills up.
    let block = [0x4000_u32.to_le_bytes(), 12_u32.to_le_bytes(), [0x08, 0xa0, 0, 0]].concat();
    assert_eq!(raw(3)[..12], block);
}

#[test]
fn the_checksum_is_the_one_that_checkers_compute() {
    let mut file = from_elf(&elf().build()).unwrap();
    let parsed = PE::parse(&file).unwrap();
    let stored = parsed.header.optional_header.unwrap().windows_fields.check_sum;
    let at = checksum_place(&file).unwrap();
    assert_eq!(file[at..at + 4], stored.to_le_bytes());
    file[at..at + 4].fill(0);
    let words = file.as_chunks().0.iter().map(|word| u64::from(u16::from_le_bytes(*word)));
    // Adding carries at the end comes to the same as on the way: the sum modulo 0xffff.
    let sum: u64 = words.sum();
    let folded = match sum % 0xffff {
        0 => 0xffff,
        rest => rest,
    };
    assert_eq!(u64::from(stored), folded + file.len() as u64);
}

#[test]
fn a_loader_without_addresses_can_be_moved_too() {
    let mut none = elf();
    none.sections.pop();
    let file = from_elf(&none.build()).unwrap();
    let directories = PE::parse(&file).unwrap().header.optional_header.unwrap().data_directories;
    assert_eq!(directories.get_base_relocation_table().unwrap().size, 12);
}

#[test]
fn what_cannot_become_a_pe_file_is_refused_with_the_reason() {
    fn check(words: &str, change: impl FnOnce(&mut Elf)) {
        let mut elf = elf();
        change(&mut elf);
        let error = format!("{:#}", from_elf(&elf.build()).unwrap_err());
        assert!(error.contains(words), "{error}");
    }
    check("no movable file", |elf| elf.kind = 2);
    check("entry is not in its code", |elf| elf.entry = 0x3000);
    check("no section .rodata", |elf| drop(elf.sections.remove(1)));
    check("relocation 0x6", |elf| elf.relocations(&[0x4008, 6, 0]));
    check("outside of what can be written", |elf| elf.relocations(&[0x4039, 8, 0]));
    check("outside of what can be written", |elf| elf.relocations(&[0x1008, 8, 0]));
    check("in a PE file at 0x4000", |elf| {
        elf.sections[2].1 = 0x5000;
        elf.relocations(&[0x5008, 8, 0]);
    });
    let error = from_elf(b"#!/bin/sh\n").unwrap_err();
    assert!(format!("{error:#}").contains("not a 64 bit ELF file"));
}
