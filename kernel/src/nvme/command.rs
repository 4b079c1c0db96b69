//! Commands and answers as bytes (NVM Express Base 1.4, sections 4.2 to 4.6, 5 and 6).
//!
//! Knows the form of a command, the lists of pages that it points to, and what a status means. Must not know queues.

use crate::drive::{HEALTH_LEN, Kind, Verdict, Work};
use crate::memory::mmio::Registers;

/// Bytes in a command.
pub(super) const COMMAND_LEN: usize = 64;
/// The size of pages that the controller is told.
pub(super) const PAGE: u64 = 4096;
/// Bytes of one slot's list of pages: enough for the largest request, wherever it starts.
pub(super) const LIST_LEN: usize = 2048;

const FLUSH: u8 = 0x00;
const WRITE: u8 = 0x01;
const READ: u8 = 0x02;

pub(super) const CREATE_SUBMISSION_QUEUE: u8 = 0x01;
pub(super) const CREATE_COMPLETION_QUEUE: u8 = 0x05;
const GET_LOG_PAGE: u8 = 0x02;
/// The page of its health, and its length in words, less one.
const HEALTH_PAGE: u32 = 0x02 | (HEALTH_LEN as u32 / 4 - 1) << 16;
/// All namespaces together.
const ALL: u32 = u32::MAX;
pub(super) const IDENTIFY: u8 = 0x06;
pub(super) const SET_FEATURES: u8 = 0x09;
/// Features: the number of queues.
pub(super) const NUMBER_OF_QUEUES: u32 = 0x07;

/// A command, but for the id that its queue gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) opcode: u8,
    pub(super) namespace: u32,
    /// Its memory: the first page, and the second one or a list of the others.
    pub(super) pages: [u64; 2],
    /// Command dwords 10 to 12.
    pub(super) words: [u32; 3],
}

impl Command {
    /// The command's bytes.
    pub(super) fn bytes(&self, id: u16) -> [u8; COMMAND_LEN] {
        let mut bytes = [0; COMMAND_LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &[self.opcode, 0]);
        put(2, &id.to_le_bytes());
        put(4, &self.namespace.to_le_bytes());
        put(24, &self.pages[0].to_le_bytes());
        put(32, &self.pages[1].to_le_bytes());
        for (at, word) in (40..).step_by(4).zip(self.words) {
            put(at, &word.to_le_bytes());
        }
        bytes
    }

    /// The question for the controller's health, for the queue for administration.
    pub(super) fn health(work: &Work, list: &Registers, list_address: u64) -> Option<Command> {
        let (start, len) = work.place();
        let pages = pages(start, len, list, list_address)?;
        Some(Command { opcode: GET_LOG_PAGE, namespace: ALL, pages, words: [HEALTH_PAGE, 0, 0] })
    }

    /// The command for `work` on `namespace`. `list` is this slot's memory for a list of pages, at `list_address`.
    /// `None` if the list is too short, which the largest request does not let happen.
    pub(super) fn of(work: &Work, namespace: u32, list: &Registers, list_address: u64) -> Option<Command> {
        let opcode = match work.kind {
            Kind::Flush => return Some(Command { opcode: FLUSH, namespace, ..Command::default() }),
            Kind::Read => READ,
            Kind::Health => return Command::health(work, list, list_address),
            Kind::Write => WRITE,
        };
        let (start, len) = work.place();
        let pages = pages(start, len, list, list_address)?;
        // The number of sectors, less one.
        let count = work.sectors.checked_sub(1).filter(|count| *count <= 0xffff)?;
        Some(Command {
            opcode,
            namespace,
            pages,
            words: [work.first as u32, (work.first >> 32) as u32, count],
        })
    }
}

/// Where `len` bytes from `start` on lie, in the form that commands have: two pages, or one and a list.
fn pages(start: u64, len: usize, list: &Registers, list_address: u64) -> Option<[u64; 2]> {
    let end = start.checked_add(len as u64)?;
    let second = (start & !(PAGE - 1)) + PAGE;
    if end <= second {
        return Some([start, 0]);
    }
    if end <= second + PAGE {
        return Some([start, second]);
    }
    let mut offset = 0;
    for page in (second..end).step_by(PAGE as usize) {
        if offset + 8 > list.len() {
            return None;
        }
        list.write64(offset, page);
        offset += 8;
    }
    Some([start, list_address])
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) id: u16,
    /// Type and code of the status, with `MORE` and `DO_NOT_RETRY`; 0 is success.
    pub(super) status: u16,
    /// What the command says of its own.
    pub(super) result: u32,
}

const DO_NOT_RETRY: u16 = 1 << 14;
/// Generic command status: aborted by request, as its queue was deleted, or as a fused one failed.
const ABORTED: [u16; 2] = [0x07, 0x08];
/// Namespace not ready.
const NOT_READY: u16 = 0x82;

impl Answer {
    /// What the status says of the command's fate.
    pub(super) fn verdict(&self) -> Verdict {
        match self.status & 0x7ff {
            0 => Verdict::Done,
            _ if self.status & DO_NOT_RETRY != 0 => Verdict::Failed,
            code if ABORTED.contains(&code) || code == NOT_READY => Verdict::NotStarted,
            _ => Verdict::Unsure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::shared::SharedMemory;
    use std::vec::Vec;

    #[test]
    fn a_command_lies_as_the_standard_has_it() {
        let command =
            Command { opcode: 2, namespace: 0x0102_0304, pages: [0x1122, 0x3344], words: [5, 6, 7] };
        let bytes = command.bytes(0xabcd);
        assert_eq!(bytes[..8], [2, 0, 0xcd, 0xab, 4, 3, 2, 1]);
        assert_eq!((bytes[24], bytes[32]), (0x22, 0x44));
        assert_eq!((bytes[40], bytes[44], bytes[48]), (5, 6, 7));
    }

    #[test]
    fn memory_is_told_as_two_pages_or_a_list() {
        let memory = SharedMemory::allocate(LIST_LEN).unwrap();
        let list = memory.window().part(0, LIST_LEN).unwrap();
        let told = |start, len| pages(start, len, &list, 0x9000);
        assert_eq!(told(0x1000, 4096), Some([0x1000, 0]));
        assert_eq!(told(0x1ffc, 4), Some([0x1ffc, 0]));
        assert_eq!(told(0x1ffc, 8), Some([0x1ffc, 0x2000]));
        assert_eq!(told(0x1000, 8192), Some([0x1000, 0x2000]));
        assert_eq!(told(0x1004, 8192), Some([0x1004, 0x9000]));
        let entries: Vec<u64> = (0..3).map(|at| list.read64(at * 8)).collect();
        assert_eq!(entries, [0x2000, 0x3000, 0]);
        assert!(told(0x1ffc, 1 << 20).is_some(), "the largest request, at the worst place");
        assert!(told(0x1000, 2 << 20).is_none());
        assert!(told(u64::MAX - 4, 100).is_none());
    }

    #[test]
    fn a_status_tells_whether_another_attempt_helps() {
        let verdict = |status| Answer { id: 0, status, result: 0 }.verdict();
        assert_eq!(verdict(0), Verdict::Done);
        assert_eq!(verdict(0x07), Verdict::NotStarted);
        assert_eq!(verdict(0x82), Verdict::NotStarted);
        assert_eq!(verdict(0x281), Verdict::Unsure, "unrecovered read error");
        assert_eq!(verdict(0x281 | DO_NOT_RETRY), Verdict::Failed);
        assert_eq!(verdict(0x80 | DO_NOT_RETRY), Verdict::Failed, "beyond the end");
    }
}
