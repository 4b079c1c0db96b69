//! One append-only log of clumps, with its directory and its counters, as it is in memory.
//!
//! Knows what is in the arena, what of it is durable, and what must be written next. Must not know where a score
//! lives, other arenas, or when anything is written: [`crate::store`] decides that.

pub(crate) mod clump_io;
mod group;
pub(crate) mod walk;

pub(crate) use group::{Group, OpenLog};

use crate::Timestamp;
use crate::format::Name;
use crate::format::arena_head::ArenaVersion;
use crate::format::arena_tail::{ArenaTail, Counters, set_seal};
use crate::format::clump::{CLUMP_LEN_MAX, ClumpHeader};
use crate::format::directory::{DirectoryRecord, RECORD_LEN};
use crate::format::geometry::ArenaGeometry;
use crate::score::Score;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// An arena that is served.
#[derive(Debug)]
pub(crate) struct Arena {
    pub(crate) name: Name,
    /// Which of the store's arena partitions it lies in.
    pub(crate) partition: usize,
    pub(crate) geometry: ArenaGeometry,
    /// Where its log begins in the index's address space.
    pub(crate) address: u64,
    pub(crate) version: ArenaVersion,
    pub(crate) clump_magic: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) written_at: Timestamp,
    /// Complete in the index sections.
    pub(crate) indexed: Counters,
    /// In the index sections, but for entries that found no room there and stay in memory.
    pub(crate) placed: Counters,
    /// Durable in log, directory and tail.
    pub(crate) durable: Counters,
    /// With everything appended in memory.
    pub(crate) current: Counters,
    /// Bytes of log that can be read from the disk.
    pub(crate) on_disk_used: u64,
    /// The SHA-1 of the sealed arena; [`Score::NULL`] before it is summed.
    pub(crate) seal: Score,
    /// The tail must be written even if the counters have not changed.
    pub(crate) tail_dirty: bool,
    /// The tail could not be read: what it counted is not known.
    pub(crate) tail_damaged: bool,
    /// Takes no more clumps, because they could overwrite data.
    pub(crate) frozen: bool,
    /// Entries of it found no room in the index: `indexed` stays in front of them, so that the next start finds them.
    pub(crate) index_stuck: bool,
    /// It could not be read through to be summed; until the next start it is not tried again.
    pub(crate) seal_failed: bool,
    /// Present once the arena can take clumps.
    pub(crate) appender: Option<Appender>,
}

/// What an arena needs in memory to grow.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) log: OpenLog,
    /// Number of the first record in `records`.
    pub(crate) records_from: u32,
    /// Records that are not durable yet.
    pub(crate) records: Vec<[u8; RECORD_LEN]>,
    /// Durable records in the directory block that the next record goes to.
    pub(crate) block_start: Vec<u8>,
}

/// Blocks of the directory to be written, as one run: the directory grows down.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryRun {
    /// Offset in the partition.
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
    /// Records that become durable with it.
    pub(crate) records: usize,
}

/// What reading an arena's log takes, apart from how far it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    pub(crate) name: Name,
    pub(crate) geometry: ArenaGeometry,
    pub(crate) clump_magic: u32,
}

impl Arena {
    /// What reading its log takes.
    pub(crate) fn log(&self) -> Log {
        Log { name: self.name, geometry: self.geometry, clump_magic: self.clump_magic }
    }

    /// Its tail's counters are wrong: the log alone says what it has.
    pub(crate) fn forget_counters(&mut self) {
        self.tail_damaged = true;
        self.on_disk_used = 0;
        for counters in [&mut self.indexed, &mut self.placed, &mut self.durable, &mut self.current] {
            *counters = Counters::default();
        }
    }

    /// Whether anything of it is not durable.
    pub(crate) fn is_dirty(&self) -> bool {
        self.tail_dirty
            || self.current != self.durable
            || self.appender.as_ref().is_some_and(|appender| !appender.records.is_empty())
    }

    /// Whether a clump of this stored size may be appended.
    pub(crate) fn takes(&self, stored_len: u16) -> bool {
        !self.current.sealed
            && !self.frozen
            && self.geometry.fits(self.current.used, self.current.clumps, stored_len)
    }

    /// Whether so little is left that the arena is sealed when the log moves on: more than half is used, and the
    /// largest clump would not fit.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let limit = self.geometry.log_limit(self.current.clumps.saturating_add(1));
        let free = limit.saturating_sub(self.current.used);
        self.current.used > limit / 2 && free < CLUMP_LEN_MAX as u64 + 8
    }

    /// Offset in the partition of this offset in the log.
    pub(crate) fn place(&self, log_offset: u64) -> u64 {
        self.geometry.log_base() + log_offset
    }

    /// Appends a clump. The caller has made sure that the arena takes it and has an appender. Returns its offset in
    /// the log.
    pub(crate) fn append(&mut self, header: &ClumpHeader, stored: &[u8]) -> u64 {
        let Some(appender) = self.appender.as_mut() else { unreachable!("the arena was activated") };
        let offset = self.current.used;
        appender.log.append(&header.encode(self.clump_magic), stored);
        let record = DirectoryRecord::from(header);
        appender.records.push(record.encode());
        if self.current.clumps == 0 {
            self.created_at = header.written_at;
        }
        self.written_at = header.written_at;
        count(&mut self.current, &record);
        offset
    }

    /// The tail block as it must stand when `written` has become durable.
    pub(crate) fn tail_block(&self, written: Counters) -> Bytes {
        let tail = ArenaTail {
            version: self.version,
            name: self.name,
            clump_magic: self.clump_magic,
            created_at: self.created_at,
            written_at: self.written_at,
            indexed: self.indexed,
            written,
        };
        let mut block = vec![0; self.geometry.block_size() as usize];
        tail.encode_into(&mut block);
        set_seal(&mut block, self.seal);
        Bytes::from(block)
    }

    /// The directory blocks that hold the records not yet durable.
    pub(crate) fn directory_run(&self) -> Option<DirectoryRun> {
        let appender = self.appender.as_ref().filter(|appender| !appender.records.is_empty())?;
        let block_size = self.geometry.block_size() as usize;
        let last_record = appender.records_from + appender.records.len() as u32 - 1;
        let (first, _) = self.geometry.record_place(appender.records_from);
        let (last, _) = self.geometry.record_place(last_record);
        let offset = self.geometry.directory_block(last)?;
        let mut bytes = vec![0; (last - first + 1) as usize * block_size];
        let newest = (last - first) as usize * block_size;
        bytes[newest..newest + appender.block_start.len()].copy_from_slice(&appender.block_start);
        for (number, record) in (appender.records_from..).zip(&appender.records) {
            let (block, at) = self.geometry.record_place(number);
            let at = (last - block) as usize * block_size + at;
            bytes[at..at + RECORD_LEN].copy_from_slice(record);
        }
        Some(DirectoryRun { offset, bytes: Bytes::from(bytes), records: appender.records.len() })
    }

    /// Notes that `counters` and the first `records` records are durable.
    pub(crate) fn committed(&mut self, counters: Counters, records: usize) {
        self.durable = counters;
        self.on_disk_used = self.on_disk_used.max(counters.used);
        let per_block = self.geometry.records_per_block();
        if let Some(appender) = self.appender.as_mut() {
            for record in appender.records.drain(..records) {
                if appender.records_from.is_multiple_of(per_block) {
                    appender.block_start.clear();
                }
                appender.block_start.extend_from_slice(&record);
                appender.records_from += 1;
            }
            if appender.records_from.is_multiple_of(per_block) {
                appender.block_start.clear();
            }
        }
    }
}

/// Counts a clump.
pub(crate) fn count(counters: &mut Counters, record: &DirectoryRecord) {
    counters.clumps += 1;
    counters.compressed_clumps += u32::from(record.is_compressed());
    counters.used += record.clump_len() as u64;
    counters.uncompressed_size += u64::from(record.lump_len);
}
