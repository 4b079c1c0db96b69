//! Commands as a controller finds them in memory (Serial ATA AHCI 1.3.1, section 4.2; ACS-3).
//!
//! Knows command headers, tables and the bytes of ATA commands. Must not know when they are issued.

use crate::drive::{Kind, Work};
use crate::memory::shared::SharedMemory;

/// Commands that a port can hold.
pub(super) const SLOTS: usize = 32;

const HEADER_LEN: usize = 32;
/// Behind the headers: what the device sends.
const RECEIVED_AT: usize = SLOTS * HEADER_LEN;
/// Behind that: what a question of ours is answered with.
const ANSWER_AT: usize = 2048;
/// Bytes of the answer to a question.
pub(super) const ANSWER_LEN: usize = 512;
/// On the following pages: a table for each slot.
const TABLES_AT: usize = 4096;
const TABLE_LEN: usize = 256;
/// In a table, the list of stretches of memory: one is enough, as ours are contiguous.
const STRETCHES_AT: usize = 0x80;
/// The longest stretch.
const STRETCH_MAX: usize = 4 << 20;

const HEADER_FIS_WORDS: u32 = 5;
const HEADER_WRITE: u32 = 1 << 6;
const HEADER_ONE_STRETCH: u32 = 1 << 16;

const READ_DMA_EXT: u8 = 0x25;
const READ_LOG_EXT: u8 = 0x2f;
const WRITE_DMA_EXT: u8 = 0x35;
const READ_FPDMA_QUEUED: u8 = 0x60;
const WRITE_FPDMA_QUEUED: u8 = 0x61;
const FLUSH_CACHE_EXT: u8 = 0xea;
const IDENTIFY_DEVICE: u8 = 0xec;
const SMART: u8 = 0xb0;
const SMART_READ_DATA: u16 = 0xd0;
/// What stands in the middle and upper byte of the address of every SMART command.
const SMART_KEY: u64 = 0xc2_4f_00;
/// The log that tells which queued command failed.
const LOG_QUEUED_ERROR: u64 = 0x10;
const DEVICE_LBA: u8 = 1 << 6;

/// A command for the device: a host-to-device FIS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command {
    opcode: u8,
    features: u16,
    first: u64,
    count: u16,
    device: u8,
}

impl Command {
    pub(super) fn identify() -> Command {
        Command { opcode: IDENTIFY_DEVICE, features: 0, first: 0, count: 0, device: 0 }
    }

    pub(super) fn read_error_log() -> Command {
        Command { opcode: READ_LOG_EXT, features: 0, first: LOG_QUEUED_ERROR, count: 1, device: 0 }
    }

    fn read_smart_data() -> Command {
        Command { opcode: SMART, features: SMART_READ_DATA, first: SMART_KEY, count: 0, device: 0 }
    }

    /// The command for `work` in `slot`. `None`: no command takes so many sectors.
    pub(super) fn of(work: &Work, slot: u16, queued: bool) -> Option<Command> {
        let opcode = match (work.kind, queued) {
            (Kind::Flush, _) => {
                return Some(Command {
                    opcode: FLUSH_CACHE_EXT,
                    features: 0,
                    first: 0,
                    count: 0,
                    device: DEVICE_LBA,
                });
            }
            (Kind::Health, _) => return Some(Command::read_smart_data()),
            (Kind::Read, true) => READ_FPDMA_QUEUED,
            (Kind::Write, true) => WRITE_FPDMA_QUEUED,
            (Kind::Read, false) => READ_DMA_EXT,
            (Kind::Write, false) => WRITE_DMA_EXT,
        };
        // 0 would mean 65536.
        let sectors = u16::try_from(work.sectors).ok().filter(|sectors| *sectors > 0)?;
        let (features, count) = if queued { (sectors, slot << 3) } else { (0, sectors) };
        Some(Command { opcode, features, first: work.first, count, device: DEVICE_LBA })
    }

    fn bytes(&self) -> [u8; 20] {
        let [a, b, c, d, e, f, ..] = self.first.to_le_bytes();
        let ([features, features_high], [count, count_high]) =
            (self.features.to_le_bytes(), self.count.to_le_bytes());
        let mut fis = [0; 20];
        // A command, not a change of the control register.
        fis[..4].copy_from_slice(&[0x27, 0x80, self.opcode, features]);
        fis[4..8].copy_from_slice(&[a, b, c, self.device]);
        fis[8..12].copy_from_slice(&[d, e, f, features_high]);
        fis[12..14].copy_from_slice(&[count, count_high]);
        fis
    }
}

/// A port's memory: headers, received FISes, one answer, tables.
pub(super) struct PortMemory(SharedMemory);

impl PortMemory {
    pub(super) fn allocate() -> Option<PortMemory> {
        SharedMemory::allocate(TABLES_AT + SLOTS * TABLE_LEN).map(PortMemory)
    }

    /// Where headers, and what is received, lie.
    pub(super) fn addresses(&self) -> [u64; 2] {
        [self.0.address(), self.0.address() + RECEIVED_AT as u64]
    }

    /// The stretch for the answer to a question.
    pub(super) fn answer_place(&self) -> (u64, usize) {
        (self.0.address() + ANSWER_AT as u64, ANSWER_LEN)
    }

    pub(super) fn answer(&self) -> [u8; ANSWER_LEN] {
        let mut bytes = [0; ANSWER_LEN];
        self.0.copy_to(ANSWER_AT, &mut bytes);
        bytes
    }

    /// Writes a command whose memory is `(first byte, length)`.
    pub(super) fn put(&self, slot: u16, command: &Command, place: (u64, usize), writes: bool) -> bool {
        let (start, len) = place;
        if usize::from(slot) >= SLOTS || len > STRETCH_MAX || !len.is_multiple_of(2) {
            return false;
        }
        let table = TABLES_AT + usize::from(slot) * TABLE_LEN;
        let window = self.0.window();
        self.0.copy_from(table, &[0; 64]);
        self.0.copy_from(table, &command.bytes());
        let header = usize::from(slot) * HEADER_LEN;
        let mut flags = HEADER_FIS_WORDS | if writes { HEADER_WRITE } else { 0 };
        if len > 0 {
            flags |= HEADER_ONE_STRETCH;
            let words = [start as u32, (start >> 32) as u32, 0, len as u32 - 1];
            for (at, word) in (table + STRETCHES_AT..).step_by(4).zip(words) {
                window.write32(at, word);
            }
        }
        let table = self.0.address() + table as u64;
        for (at, word) in (header..).step_by(4).zip([flags, 0, table as u32, (table >> 32) as u32]) {
            window.write32(at, word);
        }
        true
    }

    /// Bytes that the controller says it moved for a command that was not queued.
    pub(super) fn moved(&self, slot: u16) -> usize {
        self.0.window().read32(usize::from(slot) * HEADER_LEN + 4) as usize
    }
}

/// The slot whose queued command failed, by the log.
pub(super) fn failed_slot(log: &[u8; ANSWER_LEN]) -> Option<u16> {
    let sum = log.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    // The upper bit: it was a command of another kind. A log that does not add up, or is empty, says nothing.
    (sum == 0 && log[0] & 0x80 == 0 && log[2] & 1 != 0).then_some(u16::from(log[0] & 0x1f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Memory;

    fn work(kind: Kind) -> Work {
        Work { unit: 0, kind, first: 0x0605_0403_0201, sectors: 0x0807, memory: Memory::None }
    }

    #[test]
    fn commands_lie_as_the_standard_has_them() {
        let queued = Command::of(&work(Kind::Write), 5, true).unwrap().bytes();
        assert_eq!(queued[..14], [0x27, 0x80, 0x61, 7, 1, 2, 3, 0x40, 4, 5, 6, 8, 5 << 3, 0]);
        let plain = Command::of(&work(Kind::Read), 5, false).unwrap().bytes();
        assert_eq!(plain[..14], [0x27, 0x80, 0x25, 0, 1, 2, 3, 0x40, 4, 5, 6, 0, 7, 8]);
        assert_eq!(Command::of(&work(Kind::Flush), 5, true).unwrap().bytes()[2], 0xea);
        let smart = Command::of(&work(Kind::Health), 5, false).unwrap().bytes();
        assert_eq!(smart[..14], [0x27, 0x80, 0xb0, 0xd0, 0, 0x4f, 0xc2, 0, 0, 0, 0, 0, 0, 0]);
        for sectors in [0, 0x1_0000] {
            assert_eq!(Command::of(&Work { sectors, ..work(Kind::Read) }, 0, true), None);
        }
    }

    #[test]
    fn the_log_names_the_slot_or_nothing() {
        let mut log = [0; ANSWER_LEN];
        assert_eq!(failed_slot(&log), None, "empty");
        (log[0], log[2], log[3]) = (7, 0x41, 0x40);
        assert_eq!(failed_slot(&log), None, "does not add up");
        log[511] = 0u8.wrapping_sub(7 + 0x41 + 0x40);
        assert_eq!(failed_slot(&log), Some(7));
        (log[0], log[511]) = (0x87, log[511].wrapping_sub(0x80));
        assert_eq!(failed_slot(&log), None, "not queued");
    }

    #[test]
    fn stretches_that_no_table_holds_are_refused() {
        let memory = PortMemory::allocate().unwrap();
        let command = Command::identify();
        assert!(memory.put(31, &command, (0x1000, STRETCH_MAX), false));
        assert!(!memory.put(32, &command, (0x1000, 512), false));
        assert!(!memory.put(0, &command, (0x1000, STRETCH_MAX + 2), false));
        assert!(!memory.put(0, &command, (0x1000, 511), false));
    }
}
