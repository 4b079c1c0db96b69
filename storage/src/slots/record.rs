//! The file `granary.slots`: two halves, each with a record in its first sector, written in turn and in place.
//!
//! A write touches one sector, and never that of the newest record: torn or lost, the record before it counts. Loaders
//! write so, with nothing but the firmware's services, and no table or directory of the file system changes. The halves are as long
//! as the largest sector, so that they share none on any disk.

use super::{Image, Slot, Slots};
use alloc::vec;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const MAGIC: [u8; 8] = *b"granslot";
const VERSION: u32 = 1;
/// What stands for no slot.
const NONE: u8 = 0xff;

/// Bytes of a half.
pub const HALF_LEN: u32 = 4096;
/// Bytes of the file.
pub const FILE_LEN: usize = 2 * HALF_LEN as usize;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawImage {
    len: U32,
    sha256: [u8; 32],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Raw {
    magic: [u8; 8],
    version: U32,
    sequence: U64,
    next: u8,
    good: u8,
    tried: u8,
    failed: u8,
    images: [RawImage; 2],
    sum: U32,
}
const _: () = assert!(size_of::<Raw>() == 100, "a record fits in the smallest sector");

/// What the file says; `None` where no record in it is whole.
pub fn parse(file: &[u8]) -> Option<Slots> {
    let halves = file.chunks(HALF_LEN as usize).take(2).zip(0..);
    let records =
        halves.filter_map(|(half, number)| parse_half(half).filter(|slots| half_of(slots) == number));
    records.max_by_key(|slots| slots.sequence)
}

/// Which half holds a record.
fn half_of(slots: &Slots) -> u64 {
    slots.sequence % 2
}

fn parse_half(half: &[u8]) -> Option<Slots> {
    let (raw, _) = Raw::read_from_prefix(half).ok()?;
    let is_whole = raw.magic == MAGIC && raw.version.get() == VERSION && raw.sum.get() == checksum(&raw);
    if !is_whole {
        return None;
    }
    let image =
        |raw: &RawImage| Some(Image { len: raw.len.get(), sha256: raw.sha256 }).filter(|image| image.len > 0);
    Some(Slots {
        sequence: raw.sequence.get(),
        next: slot(raw.next)??,
        good: slot(raw.good)?,
        tried: raw.tried,
        failed: slot(raw.failed)?,
        images: [image(&raw.images[0]), image(&raw.images[1])],
    })
}

/// `None`: there is no such slot.
fn slot(number: u8) -> Option<Option<Slot>> {
    match number {
        0 => Some(Some(Slot::A)),
        1 => Some(Some(Slot::B)),
        NONE => Some(None),
        _ => None,
    }
}

/// The record that follows `slots`' own: where in the file its sector is written, and what stands there then.
pub fn next_write(slots: &Slots, sector_size: u32) -> (u32, Vec<u8>) {
    let slots = Slots { sequence: slots.sequence.wrapping_add(1), ..*slots };
    let mut sector = encode(&slots);
    sector.resize(sector_size as usize, 0);
    (half_of(&slots) as u32 * HALF_LEN, sector)
}

/// A new file with this record, and nothing before it.
pub fn new_file(slots: &Slots) -> Vec<u8> {
    let mut file = vec![0; FILE_LEN];
    let (at, record) = (half_of(slots) as usize * HALF_LEN as usize, encode(slots));
    file[at..at + record.len()].copy_from_slice(&record);
    file
}

fn encode(slots: &Slots) -> Vec<u8> {
    let number = |slot: Option<Slot>| slot.map_or(NONE, |slot| slot as u8);
    let image = |image: Option<Image>| RawImage {
        len: image.map_or(0, |image| image.len).into(),
        sha256: image.map_or([0; 32], |image| image.sha256),
    };
    let mut raw = Raw {
        magic: MAGIC,
        version: VERSION.into(),
        sequence: slots.sequence.into(),
        next: slots.next as u8,
        good: number(slots.good),
        tried: slots.tried,
        failed: number(slots.failed),
        images: slots.images.map(image),
        sum: U32::new(0),
    };
    raw.sum = checksum(&raw).into();
    raw.as_bytes().to_vec()
}

fn checksum(raw: &Raw) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
    CRC.checksum(&raw.as_bytes()[..size_of::<Raw>() - size_of::<U32>()])
}
