//! Log bytes on their way to the disk: one buffer that grows, and groups that no longer change.
//!
//! Knows sectors and the end mark. Must not know clumps.

use crate::format::clump::CLUMP_HEADER_LEN;
use crate::format::geometry::END_MARK_LEN;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// Largest buffer that is kept for the next group.
const SPARE_MAX: usize = 4 << 20;

/// The end of an arena's log, in memory: from the last sector border before it on.
#[derive(Debug)]
pub(crate) struct OpenLog {
    /// Offset in the partition of the first byte, on a sector border; or where the log begins, if that is in the midst of
    /// a sector: the rest of that sector may change without us.
    start: u64,
    bytes: Vec<u8>,
    /// Bytes at the front that are in earlier groups, or on the disk, already.
    carried: usize,
    sector_size: usize,
    /// A buffer that was written and is free for the next group: fresh memory costs more than what goes into it.
    spare: Vec<u8>,
    /// The end mark must be written even if nothing is appended.
    end_missing: bool,
}

/// Log bytes that are to be written: up to a sector border, the end mark included.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) arena: usize,
    /// Offset in the partition.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// Bytes of log; behind them come the end mark and the rest of its sector.
    pub(crate) log_len: usize,
    /// Written, though perhaps not durable.
    pub(crate) written: bool,
}

impl OpenLog {
    /// A log that ends at `end`, an offset in the partition; `last_sector` are its bytes from the sector border on.
    pub(crate) fn new(end: u64, last_sector: &[u8], sector_size: u32) -> OpenLog {
        let sector_size = sector_size as usize;
        let start = end - last_sector.len() as u64;
        OpenLog {
            start,
            bytes: last_sector.to_vec(),
            carried: last_sector.len(),
            sector_size,
            spare: Vec::new(),
            end_missing: false,
        }
    }

    /// Bytes that no group has yet.
    pub(crate) fn fresh_len(&self) -> usize {
        self.bytes.len() - self.carried
    }

    /// Lets the next group be closed even if it brings only the end mark.
    pub(crate) fn mark_end(&mut self) {
        self.end_missing = true;
    }

    /// Takes back the memory of a group that was written and that nobody reads any more.
    pub(crate) fn reuse(&mut self, written: Bytes) {
        if let Ok(mut buffer) = written.try_into_mut()
            && (self.spare.capacity()..=SPARE_MAX).contains(&buffer.capacity())
        {
            buffer.clear();
            self.spare = buffer.into();
        }
    }

    /// Appends a clump.
    pub(crate) fn append(&mut self, header: &[u8; CLUMP_HEADER_LEN], stored: &[u8]) {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(stored);
    }

    /// The bytes from `offset` in the partition to the end of the log, if they are here.
    pub(crate) fn from(&self, offset: u64) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(offset.checked_sub(self.start)?).ok()?..)
    }

    /// Closes what was appended since the last time into a group; `None` if there is nothing new.
    pub(crate) fn close(&mut self, arena: usize) -> Option<Group> {
        if self.fresh_len() == 0 && !self.end_missing {
            return None;
        }
        self.end_missing = false;
        let end = self.bytes.len();
        // Whole sectors end here, as seen from `start`.
        let into_sector = (self.start % self.sector_size as u64) as usize;
        let border = (end + into_sector) / self.sector_size * self.sector_size;
        let border = border.saturating_sub(into_sector);
        let carry = self.bytes[border..].to_vec();
        let mut next = core::mem::take(&mut self.spare);
        next.reserve(end + self.sector_size);
        let mut bytes = core::mem::replace(&mut self.bytes, next);
        self.bytes.extend_from_slice(&carry);
        self.carried = carry.len();
        let whole = (into_sector + end + END_MARK_LEN as usize).next_multiple_of(self.sector_size);
        bytes.resize(whole - into_sector, 0);
        let offset = self.start;
        self.start += border as u64;
        Some(Group { arena, offset, bytes: Bytes::from(bytes), log_len: end, written: false })
    }
}

impl Group {
    /// The log from `offset` in the partition to the end of the group, if `offset` is inside.
    pub(crate) fn from(&self, offset: u64) -> Option<Bytes> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        (at < self.log_len).then(|| self.bytes.slice(at..self.log_len))
    }

    /// The same log bytes in one group an arena, as far as they are connected; all of it is to be written again.
    pub(crate) fn merged(groups: VecDeque<Group>) -> VecDeque<Group> {
        let mut merged: VecDeque<Group> = VecDeque::new();
        for group in groups {
            let before = merged.iter_mut().rev().find(|before| before.arena == group.arena);
            match before.and_then(|before| Some((group.offset.checked_sub(before.offset)? as usize, before)))
            {
                Some((at, before)) if at <= before.log_len => {
                    let mut bytes = Vec::with_capacity(at + group.bytes.len());
                    bytes.extend_from_slice(&before.bytes[..at]);
                    bytes.extend_from_slice(&group.bytes);
                    before.bytes = Bytes::from(bytes);
                    before.log_len = at + group.log_len;
                    before.written = false;
                }
                _ => merged.push_back(Group { written: false, ..group }),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_overlap_in_the_sector_they_share_and_end_with_the_mark() {
        let mut log = OpenLog::new(8192 + 100, &[7; 100], 512);
        assert!(log.close(0).is_none());
        log.append(&[1; 38], &[2; 600]);
        let group = log.close(3).unwrap();
        assert_eq!((group.offset, group.bytes.len(), group.arena), (8192, 1024, 3));
        assert_eq!(group.bytes[99..101], [7, 1]);
        assert!(group.bytes[738..].iter().all(|byte| *byte == 0));
        log.append(&[3; 38], &[4; 10]);
        let group = log.close(3).unwrap();
        assert_eq!((group.offset, group.bytes.len()), (8192 + 512, 512));
        assert_eq!(group.bytes[225..227], [2, 3]);
    }

    #[test]
    fn the_end_mark_takes_another_sector_where_it_must() {
        let mut log = OpenLog::new(8192, &[], 512);
        log.append(&[1; 38], &[2; 512 - 38 - 2]);
        assert_eq!(log.close(0).unwrap().bytes.len(), 1024);
        log.append(&[1; 38], &[2; 512 - 38 + 2]);
        let group = log.close(0).unwrap();
        assert_eq!((group.offset, group.bytes.len()), (8192, 1536));
    }

    #[test]
    fn a_log_that_begins_within_a_sector_leaves_what_stands_before_it_alone() {
        let mut log = OpenLog::new(8192 + 512, &[], 4096);
        log.append(&[1; 38], &[2; 100]);
        let group = log.close(0).unwrap();
        assert_eq!((group.offset, group.bytes.len()), (8192 + 512, 4096 - 512));
        log.append(&[3; 38], &[4; 4000]);
        let group = log.close(0).unwrap();
        assert_eq!((group.offset, group.bytes.len()), (8192 + 512, 8192 - 512));
        assert_eq!(group.bytes[137..139], [2, 3]);
        log.append(&[5; 38], &[6; 10]);
        let group = log.close(0).unwrap();
        assert_eq!((group.offset, group.bytes.len()), (8192 + 4096, 4096));
        let carried = 512 + 138 + 4038 - 4096;
        assert_eq!(group.bytes[carried - 1..carried + 1], [4, 5]);
    }

    #[test]
    fn the_memory_of_a_written_group_is_used_again_unless_somebody_reads_it() {
        let mut log = OpenLog::new(8192, &[], 512);
        let group_of = |log: &mut OpenLog, number: u8| {
            log.append(&[number; 38], &[number; 1000]);
            log.close(0).unwrap()
        };
        let first = group_of(&mut log, 1);
        let place = first.bytes.as_ptr();
        log.reuse(first.bytes);
        let second = group_of(&mut log, 2);
        let reader = second.from(8192 + 1038).unwrap();
        log.reuse(second.bytes);
        // The first one's memory was taken when the second one was closed.
        let third = group_of(&mut log, 3);
        assert_eq!(third.bytes.as_ptr(), place);
        assert_eq!(third.bytes[28..40], [3; 12]);
        assert!(reader.iter().all(|byte| *byte == 2));
    }

    #[test]
    fn what_was_appended_can_be_read_before_and_after_it_is_closed() {
        let mut log = OpenLog::new(8192, &[], 512);
        log.append(&[1; 38], &[2; 1000]);
        assert_eq!(log.from(8192 + 38).unwrap(), [2; 1000]);
        assert!(log.from(8000).is_none());
        let group = log.close(0).unwrap();
        assert_eq!(group.from(8192 + 38).unwrap()[..1000], [2; 1000]);
        assert!(group.from(9 * 8192).is_none());
        // The end mark is not log: the next clump will stand there.
        assert!(group.from(8192 + 1038).is_none());
    }

    #[test]
    fn groups_that_follow_one_another_merge_into_what_the_disk_must_hold() {
        let mut log = OpenLog::new(8192, &[], 512);
        let mut groups = VecDeque::new();
        let mut expected = Vec::new();
        for (number, len) in [(1, 600), (2, 10), (3, 512 - 38), (4, 2000)] {
            log.append(&[number; 38], &alloc::vec![number; len]);
            expected.resize(expected.len() + 38 + len, number);
            groups.extend(log.close(0));
            if number == 2 {
                let mut other = OpenLog::new((9 << 20) + 1, &[9], 512);
                other.append(&[7; 38], &[7; 5]);
                groups.extend(other.close(1));
            }
        }
        let merged = Group::merged(groups);
        assert_eq!((merged.len(), merged[1].arena), (2, 1));
        assert_eq!((merged[0].offset, merged[0].log_len), (8192, expected.len()));
        assert_eq!(merged[0].bytes[..expected.len()], expected);
        assert!(merged[0].bytes.len().is_multiple_of(512));
    }
}
