//! Kernel files that load, and those that are refused.

use super::*;
use proptest::prelude::*;
use std::vec::Vec as StdVec;

const ADDRESS: u64 = 0x100_0000;

/// A kernel file: two program headers, one segment of 16 bytes, one note.
fn file() -> StdVec<u8> {
    let mut file = std::vec![0; 64 + 2 * PROGRAM_HEADER_LEN];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[18] = 62;
    file[32] = 64;
    file[54] = PROGRAM_HEADER_LEN as u8;
    file[56] = 2;
    let mut header = |index: usize, kind: u32, fields: [(usize, u64); 4]| {
        let at = 64 + index * PROGRAM_HEADER_LEN;
        file[at..at + 4].copy_from_slice(&kind.to_le_bytes());
        for (offset, value) in fields {
            file[at + offset..at + offset + 8].copy_from_slice(&value.to_le_bytes());
        }
    };
    header(0, LOAD, [(8, 176), (24, ADDRESS), (32, 16), (40, 64)]);
    header(1, NOTE, [(8, 192), (24, 0), (32, 40), (40, 40)]);
    file.extend([7; 16]);
    // A note of someone else's in front: a name of 5 bytes, which is padded, and no value.
    for number in [5, 0, 1] {
        file.extend(u32::to_le_bytes(number));
    }
    file.extend(b"Other\0\0\0");
    for number in [4, 4, NOTE_ENTRY] {
        file.extend(u32::to_le_bytes(number));
    }
    file.extend(NOTE_NAME);
    file.extend((ADDRESS as u32 + 8).to_le_bytes());
    file
}

#[test]
fn segments_and_entry_are_found() {
    let file = file();
    let kernel = KernelFile::parse(&file).unwrap();
    let segment = Segment { address: ADDRESS, bytes: &[7; 16], len: 64 };
    assert_eq!((kernel.segments.as_slice(), kernel.entry), (&[segment][..], ADDRESS as u32 + 8));
}

#[test]
fn what_is_no_kernel_is_refused() {
    let whole = file();
    assert_eq!(KernelFile::parse(b"part 9fat 0 100"), Err(BadKernel::NotElf));
    assert_eq!(KernelFile::parse(&whole[..180]), Err(BadKernel::Damaged));
    let mut no_note = whole.clone();
    no_note[64 + PROGRAM_HEADER_LEN] = 9;
    assert_eq!(KernelFile::parse(&no_note), Err(BadKernel::NoEntry));
    let mut entry_outside = whole.clone();
    let last = whole.len() - 1;
    entry_outside[last] = 0x70;
    assert_eq!(KernelFile::parse(&entry_outside), Err(BadKernel::NoEntry));
    let mut beyond = whole;
    beyond[64 + 24..64 + 32].fill(0xff);
    assert_eq!(KernelFile::parse(&beyond), Err(BadKernel::Damaged));
}

#[test]
fn a_start_info_says_where_everything_is() {
    let info =
        Handover { command_line: 1, rsdp: 2, map: 3, map_entries: 4, modules: 5, module_count: 6 }.encode();
    assert_eq!(info[..8], [0x78, 0xc5, 0x6e, 0x33, 1, 0, 0, 0]);
    assert_eq!([info[24], info[32], info[40], info[48], info[16], info[12]], [1, 2, 3, 4, 5, 6]);
    assert_eq!((module(7, 8)[0], module(7, 8)[8]), (7, 8));
    let entry = map_entry(0x10, 0x20, 1);
    assert_eq!([entry[0], entry[8], entry[16]], [0x10, 0x20, 1]);
}

proptest! {
    #[test]
    fn mutated_kernels_never_point_outside(changes in proptest::collection::vec((0..232_usize, any::<u8>()), 1..6)) {
        let mut file = file();
        for (at, byte) in changes {
            file[at] = byte;
        }
        if let Ok(kernel) = KernelFile::parse(&file) {
            for segment in &kernel.segments {
                prop_assert!(segment.len >= segment.bytes.len() as u64);
                prop_assert!(segment.address.checked_add(segment.len).is_some());
            }
        }
    }
}
