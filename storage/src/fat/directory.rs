//! The entries of a directory: bytes ↔ names, places and sizes.
//!
//! Knows short entries and the pieces of long names in front of them. Must not know chains, nor I/O.

use super::name::{self, Short};
use crate::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;
use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in an entry.
pub const ENTRY_LEN: usize = 32;

const DIRECTORY: u8 = 0x10;
const VOLUME: u8 = 0x08;
const ARCHIVE: u8 = 0x20;
const LONG: u8 = 0x0f;
const DELETED: u8 = 0xe5;
/// In the first byte of a long name's last piece, which comes first.
const LAST_PIECE: u8 = 0x40;
const PIECE_UNITS: usize = 13;
const PIECES_MAX: u8 = 20;

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    name: Short,
    attributes: u8,
    flags: u8,
    created_tenths: u8,
    created_time: U16,
    created_date: U16,
    read_date: U16,
    cluster_high: U16,
    written_time: U16,
    written_date: U16,
    cluster_low: U16,
    size: U32,
}
const _: () = assert!(size_of::<RawEntry>() == ENTRY_LEN);

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPiece {
    number: u8,
    units0: [U16; 5],
    attributes: u8,
    kind: u8,
    checksum: u8,
    units1: [U16; 6],
    cluster: U16,
    units2: [U16; 2],
}
const _: () = assert!(size_of::<RawPiece>() == ENTRY_LEN);

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its long name, or its short one where it has no other.
    pub name: String,
    /// Its short name.
    pub short: Short,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes in the file; 0 for a directory.
    pub len: u32,
    /// Its first cluster; 0 if it has none.
    pub cluster: u32,
    /// When it was written, taken for UTC.
    pub written: Timestamp,
    /// The places of its entries, counted in entries from the directory's start; the last is the short one.
    pub slots: Range<usize>,
}

/// The entries in these bytes, without volume labels, `.` and `..`. Pieces of long names that belong to nothing are
/// passed over.
pub fn parse(bytes: &[u8]) -> Vec<DirectoryEntry> {
    let mut entries = Vec::new();
    let mut pieces = Pieces::default();
    for (slot, raw) in bytes.chunks_exact(ENTRY_LEN).enumerate() {
        let Ok(entry) = RawEntry::read_from_bytes(raw) else { break };
        match entry.name[0] {
            0 => break,
            DELETED => pieces = Pieces::default(),
            _ if entry.attributes & LONG == LONG => {
                if let Ok(piece) = RawPiece::read_from_bytes(raw) {
                    pieces.add(&piece);
                }
            }
            first => {
                let long = core::mem::take(&mut pieces).finish(&entry.name);
                if entry.attributes & VOLUME != 0 || first == b'.' {
                    continue;
                }
                let own = long.as_ref().map_or(0, |(_, count)| *count);
                let show = || name::show_short(&entry.name, entry.flags);
                entries.push(DirectoryEntry {
                    name: long.map_or_else(show, |(name, _)| name),
                    short: entry.name,
                    is_directory: entry.attributes & DIRECTORY != 0,
                    len: entry.size.get(),
                    cluster: u32::from(entry.cluster_high.get()) << 16 | u32::from(entry.cluster_low.get()),
                    written: unix_time(entry.written_date.get(), entry.written_time.get()),
                    slots: slot - own..slot + 1,
                });
            }
        }
    }
    entries
}

/// A long name as it is gathered: its pieces come last one first.
#[derive(Default)]
struct Pieces {
    /// The number that the next piece must have.
    awaited: u8,
    checksum: u8,
    count: usize,
    units: Vec<u16>,
}

impl Pieces {
    fn add(&mut self, piece: &RawPiece) {
        let number = piece.number & !LAST_PIECE;
        if piece.number & LAST_PIECE != 0 && (1..=PIECES_MAX).contains(&number) {
            *self = Pieces { awaited: number, checksum: piece.checksum, count: 0, units: Vec::new() };
        }
        if number == 0 || number != self.awaited || piece.checksum != self.checksum {
            *self = Pieces::default();
            return;
        }
        let units = piece.units0.iter().chain(&piece.units1).chain(&piece.units2).map(|unit| unit.get());
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        self.units.splice(0..0, units);
        self.awaited -= 1;
        self.count += 1;
    }

    /// The name and the number of its pieces, if they are all there and belong to this short name.
    fn finish(self, short: &Short) -> Option<(String, usize)> {
        let whole = self.count > 0 && self.awaited == 0 && self.checksum == name::checksum(short);
        let units = char::decode_utf16(self.units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
        whole.then(|| (units.collect(), self.count))
    }
}

/// What a file's entry is to say.
#[derive(Clone, Copy, Debug)]
pub struct FileState {
    /// Bytes in the file.
    pub len: u32,
    /// Its first cluster; 0 if it is empty.
    pub cluster: u32,
    /// When it was written.
    pub written: Timestamp,
    /// It is a directory.
    pub is_directory: bool,
}

/// The entries of a new file, in the order in which they stand: the long name if it needs one, then the short one.
///
/// `taken` says which short names are in use. `None` if no short name is left.
pub fn encode(file: &str, state: &FileState, taken: impl Fn(&Short) -> bool) -> Option<Vec<u8>> {
    let plain = name::as_short(file).filter(|(short, _)| !taken(short));
    let (short, flags, has_long) = match plain {
        Some((short, flags)) => (short, flags, false),
        None => (name::invent_short(file, taken)?, 0, true),
    };
    let mut bytes = if has_long { encode_pieces(file, name::checksum(&short)) } else { Vec::new() };
    let mut raw = RawEntry::new_zeroed();
    raw.name = short;
    raw.attributes = if state.is_directory { DIRECTORY } else { ARCHIVE };
    raw.flags = flags;
    let (date, time) = dos_time(state.written);
    (raw.created_date, raw.created_time) = (U16::new(date), U16::new(time));
    raw.set_state(state);
    bytes.extend_from_slice(raw.as_bytes());
    Some(bytes)
}

fn encode_pieces(file: &str, checksum: u8) -> Vec<u8> {
    let units: Vec<u16> = file.encode_utf16().collect();
    let pieces: Vec<&[u16]> = units.chunks(PIECE_UNITS).collect();
    let mut bytes = Vec::new();
    for (index, piece) in pieces.iter().enumerate().rev() {
        // A zero ends the name, the rest is filled with ones; a full piece has neither.
        let mut all = piece.iter().copied().chain([0]).chain(core::iter::repeat(0xffff));
        let mut next = || U16::new(all.next().unwrap_or(0xffff));
        let last = if index + 1 == pieces.len() { LAST_PIECE } else { 0 };
        let raw = RawPiece {
            number: (index as u8 + 1) | last,
            units0: core::array::from_fn(|_| next()),
            attributes: LONG,
            kind: 0,
            checksum,
            units1: core::array::from_fn(|_| next()),
            cluster: U16::new(0),
            units2: core::array::from_fn(|_| next()),
        };
        bytes.extend_from_slice(raw.as_bytes());
    }
    bytes
}

/// The label of a volume, which is an entry of its root directory.
pub fn encode_label(label: &Short, written: Timestamp) -> [u8; ENTRY_LEN] {
    let mut raw = RawEntry::new_zeroed();
    raw.name = *label;
    raw.attributes = VOLUME;
    raw.set_state(&FileState { len: 0, cluster: 0, written, is_directory: false });
    zerocopy::transmute!(raw)
}

/// What a new directory begins with: itself, and the one above it, whose cluster is 0 where that is the root.
pub fn encode_dots(cluster: u32, above: u32, written: Timestamp) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, cluster) in [(b".          ", cluster), (b"..         ", above)] {
        let mut raw = RawEntry::new_zeroed();
        raw.name = *name;
        raw.attributes = DIRECTORY;
        let (date, time) = dos_time(written);
        (raw.created_date, raw.created_time) = (U16::new(date), U16::new(time));
        raw.set_state(&FileState { len: 0, cluster, written, is_directory: true });
        bytes.extend_from_slice(raw.as_bytes());
    }
    bytes
}

/// The entries of a file under another name: all that its short entry `old` says stays. As [`encode`] otherwise.
pub fn encode_renamed(old: &[u8], file: &str, taken: impl Fn(&Short) -> bool) -> Option<Vec<u8>> {
    let raw = RawEntry::read_from_bytes(old).ok()?;
    let state = FileState { len: 0, cluster: 0, written: Timestamp(0), is_directory: false };
    let mut bytes = encode(file, &state, taken)?;
    let short = bytes.len() - ENTRY_LEN;
    let named = RawEntry::read_from_bytes(&bytes[short..]).ok()?;
    let renamed = RawEntry { name: named.name, flags: named.flags, ..raw };
    bytes[short..].copy_from_slice(renamed.as_bytes());
    Some(bytes)
}

impl RawEntry {
    fn set_state(&mut self, state: &FileState) {
        let (date, time) = dos_time(state.written);
        (self.written_date, self.written_time, self.read_date) =
            (U16::new(date), U16::new(time), U16::new(date));
        self.cluster_high = U16::new((state.cluster >> 16) as u16);
        self.cluster_low = U16::new(state.cluster as u16);
        self.size = U32::new(state.len);
    }
}

/// Makes the short entry in these 32 bytes point to other content.
pub fn switch(entry: &mut [u8], state: &FileState) {
    if let Ok(raw) = RawEntry::mut_from_bytes(entry) {
        raw.set_state(state);
    }
}

/// Marks the entries in these bytes as deleted.
pub fn delete(entries: &mut [u8]) {
    entries.chunks_exact_mut(ENTRY_LEN).for_each(|entry| entry[0] = DELETED);
}

/// The first of `count` unused places in a row. Such that all stand in one sector, if there is one: then they reach
/// the disk together.
pub fn find_room(bytes: &[u8], count: usize, sector_size: usize) -> Option<usize> {
    let per_sector = sector_size / ENTRY_LEN;
    let end = bytes.chunks_exact(ENTRY_LEN).position(|entry| entry[0] == 0).unwrap_or(usize::MAX);
    let unused = |slot: usize, entry: &[u8]| slot >= end || entry[0] == DELETED;
    let free: Vec<bool> =
        bytes.chunks_exact(ENTRY_LEN).enumerate().map(|(slot, entry)| unused(slot, entry)).collect();
    // Places behind the end are found too, but nothing may be skipped in front of them: readers stop at the first
    // entry that was never used.
    let reachable = |first: usize| first <= end;
    let fits = |first: &usize| {
        reachable(*first) && free.get(*first..*first + count).is_some_and(|run| run.iter().all(|free| *free))
    };
    let in_one_sector = |first: &usize| first / per_sector == (first + count - 1) / per_sector;
    (0..free.len()).find(|first| fits(first) && in_one_sector(first)).or_else(|| (0..free.len()).find(fits))
}

/// Date and time as FAT writes them, in UTC: two seconds are its smallest unit, 1980 its first year.
fn dos_time(time: Timestamp) -> (u16, u16) {
    const SECONDS_1980: u32 = 315_532_800;
    const SECONDS_2108: u64 = 4_354_819_200;
    let seconds = u64::from(time.0.max(SECONDS_1980)).min(SECONDS_2108 - 1);
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // The civil calendar from a count of days, with years that begin in March (Howard Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let date = ((year - 1980) << 9) | (month << 5) | day;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let time = (hour << 11) | (minute << 5) | (second / 2);
    (date as u16, time as u16)
}

/// The inverse of [`dos_time`]; 1980 for what is no date.
fn unix_time(date: u16, time: u16) -> Timestamp {
    const DAYS_1980: u32 = 3652;
    let (years, month, day) = (u32::from(date >> 9), u32::from(date >> 5 & 15), u32::from(date & 31));
    let (hour, minute, second) = (u32::from(time >> 11), u32::from(time >> 5 & 63), u32::from(time & 31) * 2);
    let is_date = (1..=12).contains(&month) && day >= 1 && hour < 24 && minute < 60 && second < 60;
    if !is_date {
        return Timestamp(DAYS_1980 * 86_400);
    }
    // Leap years come every fourth year, but for 2100; years that begin in March have it at their end.
    let march_year = 1980 + years - u32::from(month <= 2);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let leap_days = march_year / 4 - march_year / 100 + march_year / 400;
    let days = march_year * 365 + leap_days + (153 * march_month + 2) / 5 + day - 1;
    // Days up to 1 March of the year 0, counted back from 1970.
    let seconds = u64::from(days - 719_468) * 86_400 + u64::from(hour * 3600 + minute * 60 + second);
    Timestamp(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
