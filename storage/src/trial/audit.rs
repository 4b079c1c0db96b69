//! The bytes of a store's disks, looked at without the store: what must hold of them at any moment, and what after a
//! clean stop. On disks that keep their promises.
//!
//! Knows formats and the order of writes. Must not use the store's own ways to read them.

use super::Finding;
use super::model::Key;
use super::rig::{ArenaPlace, Place, Rig};
use crate::arena::clump_io::unpack;
use crate::device::Image;
use crate::format::arena_tail::{ArenaTail, Counters, seal_of};
use crate::format::bucket::{Bucket, IndexEntry};
use crate::format::clump::ClumpHeader;
use crate::format::directory::{DirectoryRecord, RECORD_LEN};
use crate::format::seal::Sealer;
use crate::score::Score;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;

/// A clump as it stands in a log.
#[derive(Clone, Debug)]
pub(super) struct Clump {
    pub(super) key: Key,
    /// Its bytes, in the partition.
    pub(super) range: Range<u64>,
    /// Those of its directory record.
    pub(super) record: Range<u64>,
    offset: u64,
    directory: DirectoryRecord,
}

/// What stands in an arena.
#[derive(Clone, Debug)]
pub(super) struct ArenaBytes {
    pub(super) place: ArenaPlace,
    pub(super) tail: ArenaTail,
    /// Whole clumps from the start of the log on, as far as they follow one another.
    pub(super) clumps: Vec<Clump>,
}

impl Rig {
    /// Bytes of a partition.
    pub(super) fn bytes(&self, images: &[Image], place: &Place, range: Range<u64>) -> Bytes {
        images[place.disk].get(place.offset + range.start, (range.end - range.start) as usize)
    }

    /// What stands in every arena. A tail that cannot be read is a finding: on these disks none can be damaged.
    pub(super) fn read_arenas(&self, images: &[Image]) -> Result<Vec<ArenaBytes>, Finding> {
        self.arenas.iter().map(|place| self.read_arena(images, place)).collect()
    }

    fn read_arena(&self, images: &[Image], place: &ArenaPlace) -> Result<ArenaBytes, Finding> {
        let part = &self.arena_parts[place.partition];
        let geometry = place.geometry;
        let tail = self.bytes(images, part, geometry.tail_offset()..geometry.stop());
        let tail = ArenaTail::parse(&tail).map_err(|error| format!("{}: {error}", place.name))?;
        let log = self.bytes(images, part, geometry.log_base()..geometry.tail_offset());
        let mut clumps = Vec::new();
        let mut offset = 0;
        while let Ok(header) = ClumpHeader::parse(&log[offset..], place.clump_magic)
            && unpack(&log.slice(offset..), &header).is_ok()
        {
            let start = geometry.log_base() + offset as u64;
            let (block, at) = geometry.record_place(clumps.len() as u32);
            let Some(record) = geometry.directory_block(block) else { break };
            let record = record + at as u64;
            clumps.push(Clump {
                key: (header.score, header.block_type),
                range: start..start + header.clump_len() as u64,
                record: record..record + RECORD_LEN as u64,
                offset: offset as u64,
                directory: DirectoryRecord::from(&header),
            });
            offset += header.clump_len();
        }
        Ok(ArenaBytes { place: *place, tail, clumps })
    }

    /// At any moment: no tail counts what log and directory do not have, no directory is ahead of its log, and the index
    /// names nothing that is not in the log, and has everything that a tail calls indexed.
    pub(super) fn audit_any(&self, images: &[Image], stuck: &BTreeSet<usize>) -> Result<(), Finding> {
        let arenas = self.read_arenas(images)?;
        for arena in &arenas {
            self.audit_counters(images, arena, &arena.tail.written, "written")?;
            self.audit_directory_follows(images, arena)?;
        }
        let entries = self.entries(images)?;
        for entry in entries.values() {
            let found = self.arena_of(entry.address).and_then(|(place, offset)| {
                let arena = arenas.iter().find(|arena| arena.place.name == place.name)?;
                arena.clumps.iter().find(|clump| clump.offset == offset)
            });
            if found.is_none_or(|clump| clump.key != (entry.score, entry.block_type)) {
                return Err(format!(
                    "the index is ahead of the log: {} is not at {}",
                    entry.score, entry.address
                ));
            }
        }
        for (number, arena) in arenas.iter().enumerate() {
            if !self.sections.is_empty() && !stuck.contains(&number) {
                self.audit_indexed(images, arena, &arena.tail.indexed, &entries)?;
            }
        }
        Ok(())
    }

    /// After a clean stop: everything is counted and indexed, and full arenas carry their seal.
    pub(super) fn audit_closed(&self, images: &[Image], stuck: &BTreeSet<usize>) -> Result<(), Finding> {
        self.audit_any(images, stuck)?;
        for (number, arena) in self.read_arenas(images)?.iter().enumerate() {
            let (name, tail) = (arena.place.name, &arena.tail);
            if tail.written.clumps as usize != arena.clumps.len() {
                let (counted, found) = (tail.written.clumps, arena.clumps.len());
                return Err(format!("{name}: a clean stop left {found} clumps, its tail counts {counted}"));
            }
            if self.sections.is_empty() || stuck.contains(&number) {
                continue;
            }
            if tail.indexed != tail.written {
                return Err(format!("{name}: a clean stop left the index behind the log: {tail:?}"));
            }
            if tail.written.sealed {
                self.audit_seal(images, arena)?;
            }
        }
        Ok(())
    }

    fn audit_seal(&self, images: &[Image], arena: &ArenaBytes) -> Result<(), Finding> {
        let geometry = arena.place.geometry;
        let part = &self.arena_parts[arena.place.partition];
        let bytes = self.bytes(images, part, geometry.start()..geometry.stop());
        let mut sealer = Sealer::new(&geometry);
        let sum = sealer.update(&bytes).and_then(|()| sealer.finish()).map_err(|error| format!("{error}"))?;
        let tail = &bytes[(geometry.tail_offset() - geometry.start()) as usize..];
        if seal_of(tail) != Some(sum) {
            return Err(format!("{}: sealed with {:?}, its sum is {sum}", arena.place.name, seal_of(tail)));
        }
        Ok(())
    }

    fn audit_counters(
        &self,
        images: &[Image],
        arena: &ArenaBytes,
        counters: &Counters,
        which: &str,
    ) -> Result<(), Finding> {
        let name = arena.place.name;
        let Some(clumps) = arena.clumps.get(..counters.clumps as usize) else {
            let (counted, found) = (counters.clumps, arena.clumps.len());
            return Err(format!("{name}: its tail counts {counted} clumps as {which}, the log has {found}"));
        };
        let mut sum = Counters { sealed: counters.sealed, ..Counters::default() };
        let part = &self.arena_parts[arena.place.partition];
        for clump in clumps {
            let record = DirectoryRecord::parse(&self.bytes(images, part, clump.record.clone()));
            if record != Ok(clump.directory) {
                return Err(format!("{name}: the record of the clump at {} is {record:?}", clump.offset));
            }
            crate::arena::count(&mut sum, &clump.directory);
        }
        if sum == *counters {
            Ok(())
        } else {
            Err(format!("{name}: {sum:?} in the log, its tail: {counters:?}"))
        }
    }

    /// Whatever record stands in the directory, its clump stands in the log. Records that lie across sectors may be torn.
    fn audit_directory_follows(&self, images: &[Image], arena: &ArenaBytes) -> Result<(), Finding> {
        let geometry = arena.place.geometry;
        let part = &self.arena_parts[arena.place.partition];
        let sector = u64::from(images[part.disk].sector_size());
        let whole: BTreeSet<[u8; RECORD_LEN]> =
            arena.clumps.iter().map(|clump| clump.directory.encode()).collect();
        for (offset, block) in self.directory_blocks(images, arena) {
            for number in 0..geometry.records_per_block() as u64 {
                let at = number * RECORD_LEN as u64;
                let start = part.offset + offset + at;
                let torn = start / sector != (start + RECORD_LEN as u64 - 1) / sector;
                let record = &block[at as usize..at as usize + RECORD_LEN];
                if !torn && record.iter().any(|byte| *byte != 0) && !whole.contains(record) {
                    let (name, record) = (arena.place.name, DirectoryRecord::parse(record));
                    return Err(format!(
                        "{name}: the directory is ahead of the log: {record:?} is not there"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The blocks of the directory, with their offsets, down to the first that is empty; not those where log may stand
    /// that no tail counts yet.
    fn directory_blocks(&self, images: &[Image], arena: &ArenaBytes) -> Vec<(u64, Bytes)> {
        let geometry = arena.place.geometry;
        let part = &self.arena_parts[arena.place.partition];
        let log_end = geometry.log_base() + arena.tail.written.used + self.unsynced_max;
        let mut blocks = Vec::new();
        for number in 0.. {
            let Some(offset) = geometry.directory_block(number).filter(|offset| *offset > log_end) else {
                break;
            };
            let block = self.bytes(images, part, offset..offset + u64::from(geometry.block_size()));
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            blocks.push((offset, block));
        }
        blocks
    }

    /// Every entry of the index, by key. Two of one key are a finding.
    pub(super) fn entries(&self, images: &[Image]) -> Result<BTreeMap<Key, IndexEntry>, Finding> {
        let mut entries = BTreeMap::new();
        for (place, header) in &self.sections {
            for bucket in header.start..header.stop {
                let Some(offset) = header.bucket_offset(bucket) else { continue };
                let block = self.bytes(images, place, offset..offset + u64::from(header.block_size));
                let parsed = Bucket::parse(&block, header.bucket_magic);
                for entry in parsed.map_err(|error| format!("{} {bucket}: {error}", place.name))?.iter() {
                    if entries.insert((entry.score, entry.block_type), entry).is_some() {
                        return Err(format!("{}: {} stands twice in the index", place.name, entry.score));
                    }
                }
            }
        }
        Ok(entries)
    }

    fn audit_indexed(
        &self,
        images: &[Image],
        arena: &ArenaBytes,
        counters: &Counters,
        entries: &BTreeMap<Key, IndexEntry>,
    ) -> Result<(), Finding> {
        self.audit_counters(images, arena, counters, "indexed")?;
        let filter = self
            .bloom
            .as_ref()
            .map(|(place, header)| (header, self.bytes(images, place, 0..u64::from(header.size()))));
        for clump in arena.clumps.iter().take(counters.clumps as usize) {
            let (score, name) = (clump.key.0, arena.place.name);
            if !entries.contains_key(&clump.key) {
                return Err(format!("{name}: {score} counts as indexed, and the index does not have it"));
            }
            if filter.as_ref().is_some_and(|(header, filter)| !header.may_contain(filter, &score)) {
                return Err(format!("{name}: {score} counts as indexed, and the filter denies it"));
            }
        }
        Ok(())
    }
}

/// A block of those `known` that stands more than once in the logs: a waste that nothing but repair explains. (What fills
/// a hole in a log is no client's block, and two pieces of it may be alike.)
pub(super) fn copies(arenas: &[ArenaBytes], known: impl Fn(&Key) -> bool) -> Option<Score> {
    let mut seen = BTreeSet::new();
    let clumps = arenas.iter().flat_map(|arena| &arena.clumps).filter(|clump| known(&clump.key));
    clumps.into_iter().find(|clump| !seen.insert(clump.key)).map(|clump| clump.key.0)
}
