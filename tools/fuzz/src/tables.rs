//! Partition tables of all kinds, one by one and on a disk.

use crate::Input;
use crc::{CRC_32_ISO_HDLC, Crc};
use storage::device::ram::RamDisk;
use storage::disk::survey::{NamedDisk, survey};
use storage::disk::{find, gpt, mbr, prep};
use storage::simulation::block_on;

const SECTOR: usize = 512;
/// Offsets in a GPT header.
const HEADER_LEN_AT: usize = 12;
const HEADER_SUM_AT: usize = 16;
const ENTRY_COUNT_AT: usize = 80;
const ENTRY_LEN_AT: usize = 84;
const ENTRIES_SUM_AT: usize = 88;

/// Makes the checksums of a GPT right, so that what they protect is reached.
fn repair(header: &mut [u8], entries: &[u8]) {
    let sum = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    let entries_len = get(header, ENTRY_COUNT_AT).saturating_mul(get(header, ENTRY_LEN_AT));
    put(header, ENTRIES_SUM_AT, sum.checksum(&entries[..entries_len.min(entries.len())]));
    put(header, HEADER_SUM_AT, 0);
    let value = header.get(..get(header, HEADER_LEN_AT)).map_or(0, |bytes| sum.checksum(bytes));
    put(header, HEADER_SUM_AT, value);
}

fn get(header: &[u8], at: usize) -> usize {
    let field = header.get(at..).and_then(|rest| rest.first_chunk()).copied();
    u32::from_le_bytes(field.unwrap_or_default()) as usize
}

fn put(header: &mut [u8], at: usize, value: u32) {
    if let Some(field) = header.get_mut(at..at + 4) {
        field.copy_from_slice(&value.to_le_bytes());
    }
}

/// A GPT: header, then entries; as they are, and with their checksums made right.
pub fn gpt(data: &[u8]) {
    let (header, entries) = data.split_at(data.len().min(SECTOR));
    let mut header = header.to_vec();
    for _ in 0..2 {
        let parsed = gpt::Header::parse(&header, gpt::PRIMARY_AT);
        if let Ok(found) = parsed.and_then(|parsed| parsed.entries(entries)) {
            assert!(found.iter().all(|entry| entry.kind != gpt::Guid::NONE));
        }
        repair(&mut header, entries);
    }
}

/// A DOS table.
pub fn mbr(data: &[u8]) {
    if let Some(entries) = mbr::parse(data) {
        for entry in entries {
            assert!(entry.slot < 4 && entry.count > 0 && entry.kind != 0);
        }
    }
}

/// A Plan 9 table.
pub fn prep(data: &[u8]) {
    let Some(table) = prep::parse(data) else { return };
    for (number, part) in table.parts.iter().enumerate() {
        assert!(part.start < part.end);
        assert!(table.parts[..number].iter().all(|other| other.name != part.name));
    }
    if let Ok(sector) = prep::encode(&table.parts, SECTOR) {
        let again = prep::parse(&sector).map(|table| table.parts);
        assert_eq!(again.unwrap_or_default(), table.parts);
    }
}

/// A whole disk: a few sectors of anything, a stretch of zeros behind them.
pub fn disk(data: &[u8]) {
    let mut input = Input(data);
    let (sectors, fix) = (u64::from(input.short()), input.byte());
    let sector_size = if fix & 2 == 0 { SECTOR } else { 8 * SECTOR };
    let mut content = input.0.to_vec();
    if fix & 1 != 0 && content.len() > 3 * sector_size {
        let (front, entries) = content.split_at_mut(2 * sector_size);
        repair(&mut front[sector_size..], entries);
    }
    let disk = RamDisk::new(sector_size as u32, sectors.max(content.len().div_ceil(sector_size) as u64));
    disk.put(0, &content);
    let count = storage::device::BlockDevice::sector_count(&disk);
    let layout = block_on(find(&disk)).expect("this disk can be read");
    for (number, part) in layout.parts.iter().enumerate() {
        assert!(part.count >= 1 && part.first.checked_add(part.count).is_some_and(|end| end <= count));
        assert!(layout.parts[..number].iter().all(|other| other.name != part.name), "{} twice", part.name);
    }
    layout.complaints.iter().for_each(|complaint| assert!(!complaint.to_string().is_empty()));
    let disks = [NamedDisk { name: "disk0".into(), device: &disk }];
    let found = block_on(survey(&disks));
    assert!(found.parts.arenas.len() <= layout.parts.len());
}
