//! The table that gives FAT its name: which cluster follows which.
//!
//! Knows chains and free clusters, in memory; remembers which sectors of it have changed. Must not know what a chain
//! holds, nor how sectors reach the disk.

use super::boot_sector::{Geometry, Kind};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::ops::Range;

/// Every 32 bit entry has four bits on top that are kept as they are.
const FAT32_MASK: u32 = 0x0fff_ffff;

/// What an entry says of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The cluster is free.
    Free,
    /// The chain goes on there.
    Next(u32),
    /// The chain ends here.
    End,
    /// The cluster cannot be used, or the entry means nothing.
    Bad,
}

/// A chain that leads to a free, bad or impossible cluster, or in a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chain of clusters is broken at cluster {0}")]
pub struct BrokenChain(pub u32);

/// No free cluster is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file system is full")]
pub struct Full;

/// One copy of the table, in memory.
#[derive(Clone, Debug)]
pub struct FatTable {
    geometry: Geometry,
    bytes: Vec<u8>,
    /// Sectors of the table that differ from the disk's.
    dirty: BTreeSet<u32>,
}

impl FatTable {
    /// The table in these bytes: all sectors of one copy.
    ///
    /// # Panics
    /// If they are fewer than [`Geometry`] says.
    pub fn new(geometry: Geometry, bytes: Vec<u8>) -> FatTable {
        assert!(bytes.len() as u64 >= u64::from(geometry.table_sectors) * u64::from(geometry.sector_size));
        FatTable { geometry, bytes, dirty: BTreeSet::new() }
    }

    /// The table of an empty FAT16.
    pub fn empty(geometry: Geometry) -> FatTable {
        let mut bytes = alloc::vec![0; geometry.table_sectors as usize * geometry.sector_size as usize];
        bytes[..4].copy_from_slice(&[0xf8, 0xff, 0xff, 0xff]);
        FatTable::new(geometry, bytes)
    }

    /// Its bytes, as they belong on the disk.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn place(&self, cluster: u32) -> Range<usize> {
        let len = if self.geometry.kind == Kind::Fat16 { 2 } else { 4 };
        cluster as usize * len..cluster as usize * len + len
    }

    fn raw(&self, cluster: u32) -> u32 {
        match self.bytes.get(self.place(cluster)) {
            Some(&[a, b]) => u32::from(u16::from_le_bytes([a, b])),
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 1,
        }
    }

    /// What the entry of this cluster says.
    pub fn link(&self, cluster: u32) -> Link {
        if !self.geometry.has_cluster(cluster) {
            return Link::Bad;
        }
        let (raw, ends_from) = match self.geometry.kind {
            Kind::Fat16 => (self.raw(cluster), 0xfff8),
            Kind::Fat32 => (self.raw(cluster) & FAT32_MASK, 0x0fff_fff8),
        };
        match raw {
            0 => Link::Free,
            end if end >= ends_from => Link::End,
            next if self.geometry.has_cluster(next) => Link::Next(next),
            _ => Link::Bad,
        }
    }

    fn set(&mut self, cluster: u32, link: Link) {
        let raw = match link {
            Link::Free => 0,
            Link::Next(next) => next,
            Link::End | Link::Bad => FAT32_MASK,
        };
        let kept = self.raw(cluster) & !FAT32_MASK;
        let place = self.place(cluster);
        let sector = u32::try_from(place.start).unwrap_or(u32::MAX) / self.geometry.sector_size;
        match self.bytes.get_mut(place) {
            Some([a, b]) => [*a, *b] = (raw as u16).to_le_bytes(),
            Some([a, b, c, d]) => [*a, *b, *c, *d] = (kept | raw).to_le_bytes(),
            _ => return,
        }
        self.dirty.insert(sector);
    }

    /// The clusters of the chain that begins with `first`, in order. A `first` of 0 is the empty chain.
    pub fn chain(&self, first: u32) -> Result<Vec<u32>, BrokenChain> {
        let mut clusters = Vec::new();
        let mut at = first;
        while at != 0 {
            // A chain longer than there are clusters goes in a circle.
            if clusters.len() >= self.geometry.clusters as usize {
                return Err(BrokenChain(at));
            }
            let link = self.link(at);
            clusters.push(at);
            at = match link {
                Link::Next(next) => next,
                Link::End => 0,
                Link::Free | Link::Bad => return Err(BrokenChain(at)),
            };
        }
        Ok(clusters)
    }

    /// Whether this data cluster is part of a chain.
    pub fn is_in_use(&self, cluster: u32) -> bool {
        matches!(self.link(cluster), Link::Next(_) | Link::End)
    }

    /// How many clusters are free.
    pub fn free_clusters(&self) -> u32 {
        let all = 2..self.geometry.clusters + 2;
        all.filter(|cluster| self.link(*cluster) == Link::Free).count() as u32
    }

    /// Takes `count` free clusters and makes a chain of them; in one piece where the search finds one.
    pub fn allocate(&mut self, count: u32) -> Result<Vec<u32>, Full> {
        let all = 2..self.geometry.clusters + 2;
        let free = all.filter(|cluster| self.link(*cluster) == Link::Free);
        let chain: Vec<u32> = match self.free_run(count) {
            Some(first) => (first..first + count).collect(),
            None => free.take(count as usize).collect(),
        };
        if chain.len() < count as usize {
            return Err(Full);
        }
        let links = chain.iter().skip(1).map(|next| Link::Next(*next)).chain([Link::End]);
        for (cluster, link) in chain.iter().zip(links.collect::<Vec<Link>>()) {
            self.set(*cluster, link);
        }
        Ok(chain)
    }

    /// The first of `count` free clusters in a row.
    fn free_run(&self, count: u32) -> Option<u32> {
        let mut run = 0;
        (2..self.geometry.clusters + 2).find_map(|cluster| {
            run = if self.link(cluster) == Link::Free { run + 1 } else { 0 };
            (run > 0 && run == count).then(|| cluster + 1 - count)
        })
    }

    /// Makes the chain end in `last` go on with `next`.
    pub fn append(&mut self, last: u32, next: u32) {
        self.set(last, Link::Next(next));
    }

    /// Gives clusters back.
    pub fn free(&mut self, clusters: &[u32]) {
        for cluster in clusters {
            self.set(*cluster, Link::Free);
        }
    }

    /// The runs of sectors of the table that must be written, counted from its start; they then count as clean.
    pub fn take_dirty(&mut self) -> Vec<Range<u32>> {
        let mut runs: Vec<Range<u32>> = Vec::new();
        for sector in core::mem::take(&mut self.dirty) {
            match runs.last_mut() {
                Some(run) if run.end == sector => run.end += 1,
                _ => runs.push(sector..sector + 1),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> FatTable {
        FatTable::empty(Geometry::new_fat16(9000, 512, 2).unwrap())
    }

    #[test]
    fn an_allocated_chain_is_followed_and_freed() {
        let mut table = table();
        let free = table.free_clusters();
        let chain = table.allocate(5).unwrap();
        assert_eq!(table.chain(chain[0]), Ok(chain.clone()));
        assert_eq!(table.free_clusters(), free - 5);
        assert_eq!(table.take_dirty(), core::slice::from_ref(&(0..1)));
        table.free(&chain);
        assert_eq!(table.free_clusters(), free);
        assert_eq!(table.chain(chain[0]), Err(BrokenChain(chain[0])));
    }

    #[test]
    fn a_full_table_gives_nothing_and_stays_as_it_is() {
        let mut table = table();
        let free = table.free_clusters();
        assert_eq!(table.allocate(free + 1), Err(Full));
        assert_eq!(table.free_clusters(), free);
        let all = table.allocate(free).unwrap();
        assert_eq!((all.len() as u32, table.allocate(1)), (free, Err(Full)));
    }

    #[test]
    fn scattered_clusters_serve_when_no_run_is_long_enough() {
        let mut table = table();
        let all = table.allocate(table.free_clusters()).unwrap();
        let odd: Vec<u32> = all.iter().copied().filter(|cluster| cluster % 2 == 1).take(10).collect();
        table.free(&odd);
        let mut chain = table.allocate(10).unwrap();
        assert_eq!(table.chain(chain[0]), Ok(chain.clone()));
        chain.sort_unstable();
        assert_eq!(chain, odd);
    }

    proptest! {
        #[test]
        fn a_chain_in_a_table_of_any_bytes_ends(bytes in proptest::collection::vec(0..40_u8, 200), first in 0..120_u32) {
            let mut table = table();
            for (place, pair) in table.bytes.chunks_exact_mut(2).zip(bytes) {
                place.copy_from_slice(&[pair, 0]);
            }
            if let Ok(chain) = table.chain(first) {
                prop_assert!(chain.len() < 200);
            }
        }
    }
}
