//! Disks of many layouts, right and damaged.

use super::survey::{FindingKind, NamedDisk, survey};
use super::*;
use crate::device::BlockDevice;
use crate::device::ram::RamDisk;
use crate::simulation::block_on;
use alloc::rc::Rc;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use std::io::Read;
use std::string::ToString;
use std::vec;

const ARENAS: [u8; 4] = [0xa9, 0xe4, 0xa5, 0xe7];
const SECTORS: u64 = 8192;

/// A disk as we make it: a GPT with one Plan 9 partition, in which stand 9fat and arenas.
fn our_disk(prep_lines: &str) -> RamDisk {
    let disk = RamDisk::new(512, SECTORS);
    let entry = |kind, first, last| gpt::Entry {
        kind,
        unique: gpt::Guid([1; 16]),
        first,
        last,
        label: String::new(),
    };
    let entries = [
        entry(gpt::Guid::BIOS_BOOT, 34, 63),
        entry(gpt::Guid::PLAN9, 100, 5099),
        entry(gpt::Guid::PLAN9, 5100, 8000),
    ];
    let table = gpt::encode(gpt::Guid([2; 16]), SECTORS, 512, &entries);
    disk.put(0, &mbr::protective(SECTORS, &[]));
    disk.put(512, &table.primary);
    disk.put((SECTORS - gpt::table_sectors(512)) * 512, &table.backup);
    disk.put(101 * 512, prep_lines.as_bytes());
    disk.put(5100 * 512 + contents::VENTI_HEADER_AT, &ARENAS);
    disk
}

fn found(disk: &RamDisk) -> Layout {
    block_on(find(disk)).unwrap()
}

fn parts(layout: &Layout) -> Vec<(&str, u64, u64, Contents)> {
    layout.parts.iter().map(|part| (part.name.as_str(), part.first, part.count, part.contents)).collect()
}

fn complaints(layout: &Layout) -> Vec<String> {
    layout.complaints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_plan9_disk_of_the_real_tools_is_understood() {
    let mut image = vec![];
    GzDecoder::new(&include_bytes!("../../tests/fixtures/disk/disk.img.gz")[..])
        .read_to_end(&mut image)
        .unwrap();
    let layout = found(&RamDisk::from_bytes(512, &image));
    assert_eq!(layout.table, Table::Mbr);
    assert_eq!(complaints(&layout), [""; 0]);
    let expected = [
        ("dos", 63, 64, Contents::Unknown),
        ("plan9", 128, 16256, Contents::Parts),
        ("9fat", 128, 2048, Contents::Unknown),
        ("nvram", 2176, 1, Contents::Unknown),
        ("arenas", 2184, 7144, Contents::Arenas),
        ("isect", 9336, 3000, Contents::IndexSection),
    ];
    assert_eq!(parts(&layout), expected);
}

#[test]
fn a_disk_of_ours_is_understood() {
    let layout = found(&our_disk("part 9fat 0 2000\npart nvram 2000 2001\n"));
    assert_eq!((layout.table, complaints(&layout)), (Table::Gpt, vec![]));
    let expected = [
        ("bios", 34, 30, Contents::Unknown),
        ("plan9", 100, 5000, Contents::Parts),
        ("9fat", 100, 2000, Contents::Unknown),
        ("nvram", 2100, 1, Contents::Unknown),
        ("plan9.1", 5100, 2901, Contents::Arenas),
    ];
    assert_eq!(parts(&layout), expected);
}

#[test]
fn either_copy_of_the_table_is_enough() {
    let whole = parts(&found(&our_disk(""))).len();
    let first_damaged = our_disk("");
    first_damaged.put(512 + 40, &[0xff]);
    let last_damaged = our_disk("");
    last_damaged.put((SECTORS - 1) * 512 + 40, &[0xff]);
    let entries_damaged = our_disk("");
    entries_damaged.put(1024, &[0xff]);
    for disk in [&first_damaged, &last_damaged, &entries_damaged] {
        let layout = found(disk);
        assert_eq!((layout.parts.len(), layout.complaints.len()), (whole, 1));
    }
    first_damaged.put((SECTORS - 1) * 512 + 40, &[0xff]);
    let layout = found(&first_damaged);
    let none = "both copies of the partition table are damaged (the checksum of its header is wrong); \
                no partition can be found";
    assert_eq!((layout.parts.len(), complaints(&layout)), (0, vec![none.to_string()]));
}

#[test]
fn a_disk_that_shrank_says_so_and_loses_only_what_is_cut() {
    let whole = our_disk("part 9fat 0 2000\n");
    let shrunk = RamDisk::from_bytes(512, &block_on(whole.read(0, 6000)).unwrap());
    let layout = found(&shrunk);
    assert_eq!(
        complaints(&layout),
        [
            "the disk has shrunk: its partition table was made for 8192 sectors, it has 6000",
            "the copy of the partition table at the end of the disk is damaged (no GPT header); the first one is used",
            "partition plan9.1 is ignored: sectors 5100 to 8001 are not all within 6000",
        ]
    );
    assert!(layout.part("9fat").is_some());
}

#[test]
fn a_disk_that_grew_is_served_as_it_was() {
    let grown = RamDisk::new(512, SECTORS + 100);
    grown.put(0, &block_on(our_disk("").read(0, SECTORS as u32)).unwrap());
    let layout = found(&grown);
    assert_eq!(complaints(&layout), ["the disk has grown: its partition table covers 8192 of 8292 sectors"]);
    assert_eq!(layout.parts.len(), 3);
}

#[test]
fn parts_outside_their_partition_and_wrong_lines_are_left_out() {
    let layout = found(&our_disk("part 9fat 0 100\npart arenas 200 5001\npart isect 9 x\n"));
    assert_eq!(
        complaints(&layout),
        [
            "partition plan9: line 3 of the Plan 9 table: START or END is not a number",
            "partition arenas is ignored: sectors 200 to 5001 are not all within 5000",
        ]
    );
    assert!(layout.part("9fat").is_some() && layout.part("arenas").is_none());
}

#[test]
fn overlapping_parts_are_named_in_pairs_and_never_make_a_store() {
    let disk = our_disk("part a 2 4000\npart b 100 900\npart c 1000 2000\npart d 4000 4100\n");
    disk.put((100 + 1000) * 512 + contents::VENTI_HEADER_AT, &ARENAS);
    let layout = found(&disk);
    assert_eq!(complaints(&layout), ["partitions a and b overlap", "partitions a and c overlap"]);
    assert_eq!(layout.part("c").unwrap().contents, Contents::Arenas);
    let survey = block_on(survey(&[NamedDisk { name: "disk0".to_string(), device: Rc::new(disk) }]));
    let names: Vec<&str> = survey.parts.arenas.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["disk0/plan9.1"]);
}

#[test]
fn a_table_at_the_very_start_and_a_bare_partition_are_found() {
    let bare = RamDisk::new(512, 4000);
    bare.put(512, b"part 9fat 0 100\npart arenas 200 4000\n");
    let layout = found(&bare);
    assert_eq!(layout.table, Table::Plan9);
    assert_eq!(layout.part("arenas").unwrap().count, 3800);

    let whole = RamDisk::new(512, 4000);
    whole.put(contents::VENTI_HEADER_AT, &ARENAS);
    let layout = found(&whole);
    assert_eq!((layout.table, parts(&layout)), (Table::None, vec![("data", 0, 4000, Contents::Arenas)]));

    let tiny = found(&RamDisk::new(512, 1));
    assert_eq!(parts(&tiny), [("data", 0, 1, Contents::Unknown)]);
}

/// A DOS table with an extended partition at 1000 whose links stand at these sectors, each with a partition behind it.
fn extended_disk(links: &[u32]) -> RamDisk {
    let disk = RamDisk::new(512, SECTORS);
    let entry = |kind: u8, first: u32, count: u32| {
        let mut bytes = [0; 16];
        bytes[4] = kind;
        bytes[8..12].copy_from_slice(&first.to_le_bytes());
        bytes[12..].copy_from_slice(&count.to_le_bytes());
        bytes
    };
    disk.put(446, &entry(0x05, 1000, 5000));
    disk.put(510, &[0x55, 0xaa]);
    for (link, next) in links.iter().zip(links.iter().skip(1).map(Some).chain([None])) {
        let at = u64::from(*link) * 512;
        disk.put(at + 446, &entry(mbr::PLAN9, 1, 50));
        if let Some(next) = next {
            disk.put(at + 462, &entry(0x05, next.wrapping_sub(1000), 100));
        }
        disk.put(at + 510, &[0x55, 0xaa]);
    }
    disk
}

#[test]
fn extended_partitions_are_followed_and_loops_are_cut() {
    let layout = found(&extended_disk(&[1000, 2000, 3000]));
    let firsts: Vec<u64> = layout.parts.iter().map(|part| part.first).collect();
    assert_eq!((firsts, layout.complaints.len()), (vec![1001, 2001, 3001], 0));
    let layout = found(&extended_disk(&[1000, 2000, 1000]));
    assert_eq!(layout.complaints, [Complaint::Extended(2000)]);
}

#[test]
fn a_second_disk_with_the_same_names_adds_its_parts() {
    let disk = |name: &str| NamedDisk { name: name.to_string(), device: Rc::new(our_disk("")) };
    let survey = block_on(survey(&[disk("disk0"), disk("disk1")]));
    let names: Vec<&str> = survey.parts.arenas.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["disk0/plan9.1", "disk1/plan9.1"]);
    let unknown = FindingKind::Unknown("plan9".to_string());
    assert!(survey.findings.iter().all(|finding| finding.what == unknown));
}

#[test]
fn what_is_not_known_is_said_and_left_alone() {
    let disk =
        our_disk("part 9fat 2 1000\npart nvram 1000 1001\npart fossil 1001 2000\npart arenas 2000 4000\n");
    let blank = RamDisk::new(512, 4000);
    let named = |name: &str, disk| NamedDisk { name: name.to_string(), device: Rc::new(disk) };
    let survey = block_on(survey(&[named("disk0", disk), named("disk1", blank)]));
    let told: Vec<String> = survey.findings.iter().map(ToString::to_string).collect();
    let unknown = |name| {
        std::format!(
            "disk0: partition {name} holds nothing that is known here: it is neither read nor written"
        )
    };
    let blank =
        "disk1: no partitions, and nothing else that is known here: the disk is neither read nor written";
    assert_eq!(told, [unknown("9fat"), unknown("fossil"), unknown("arenas"), blank.to_string()]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn mutated_tables_never_lead_outside_the_disk(
        changes in proptest::collection::vec((0..3_usize, 0..512_usize, any::<u8>()), 1..8),
        first in any::<u32>(),
    ) {
        let gpt_disk = our_disk("part 9fat 0 2000\npart arenas 3000 4000\n");
        let mbr_disk = extended_disk(&[1000, 2000, 3000]);
        mbr_disk.put(470, &first.to_le_bytes());
        for (place, at, byte) in changes {
            gpt_disk.put([0, 512, 101 * 512][place] + at as u64, &[byte]);
            mbr_disk.put([0, 1000 * 512, 2000 * 512][place] + at as u64, &[byte]);
        }
        for disk in [gpt_disk, mbr_disk] {
            for part in found(&disk).parts {
                prop_assert!(part.count >= 1 && part.first + part.count <= SECTORS);
            }
        }
    }
}

#[test]
fn tables_that_count_in_shorter_sectors_than_the_disk_are_known() {
    let short = our_disk("part 9fat 2 100\n");
    let content = block_on(short.read(0, SECTORS as u32)).unwrap();
    let sizes = |disk: &RamDisk| block_on(sector_size_of_tables(disk)).unwrap();
    assert_eq!(sizes(&short), None, "they are its own");
    assert_eq!(sizes(&RamDisk::from_bytes(4096, &content)), Some(512));
    assert_eq!(sizes(&RamDisk::from_bytes(1024, &content)), Some(512));
    assert_eq!(sizes(&RamDisk::new(4096, 100)), None, "blank");
    let own = RamDisk::new(4096, SECTORS);
    own.put(4096, &gpt::encode(gpt::Guid([2; 16]), SECTORS, 4096, &[]).primary);
    assert_eq!(sizes(&own), None);
    let plan9 = RamDisk::new(4096, 100);
    plan9.put(512, b"part 9fat 2 100\n");
    assert_eq!(sizes(&plan9), Some(512));
}
