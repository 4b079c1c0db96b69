//! Granary's storage: venti's disk formats, the log and its index, FAT, names. Depends on nothing else of ours.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`score`] | SHA-1 of a lump, the zero score, hex form | disks, messages |
//! | [`block_type`] | venti's types and their numbers on disk and wire | what clients keep in them |
//! | [`device`] (`ram`, `sim`) | the [`device::BlockDevice`] trait; a plain disk; one that tears, drops and rots by seed | formats |
//! | [`partition`] | a window on a device, bounds-checked | what lies inside |
//! | [`simulation`] | a seed for every choice, an executor that obeys it | disks, formats |
//! | [`arithmetic`] | pure work on owned bytes, here or by others | processors, threads |
//! | [`archive`] | vac's and fossil's trees: streams, entries, metadata | where blocks come from |
//! | [`format`] | venti's disk structures, one each: bytes ↔ value | I/O, policy |
//! | `arena` | one append-only log of clumps, its directory and counters, in memory | where a score lives, other arenas |
//! | `disk_index` | index sections and bloom filter: entries go in, in ordered passes, and come out | which are missing |
//! | [`memory_index`] | score → candidate addresses, eight bytes a block | clumps, disks |
//! | [`lump_cache`] | recent lumps by score and type | addresses |
//! | [`recovery`] | open a store after whatever happened to it | serving |
//! | [`check`] | a whole store read through offline, every fault named | what to do about it |
//! | [`salvage`] | what can be written again from what is whole, and in which order | who decides that it is written |
//! | [`store`] | blocks in, blocks out, what a sync promises; joins arenas, index and caches | the wire, peers, time's source |
//! | [`scrub`] | when and how fast a store is verified again, and what came of it | how it is verified |
//! | [`trial`] | one simulated life of a store by seed, and what must hold of it | how the store does it |
//! | [`make`] | how empty stores are made | randomness, what was there before |
//! | [`transfer`] | one arena taken out of its disk, as bytes or clump by clump | where it goes |
//! | [`whack`] | venti's compression, both directions | clump headers |
//! | [`fat`] | FAT: reads files, and replaces one so that a crash leaves old or new | venti |
//! | [`slots`] | the two kernels in 9fat, and which is started | how one is loaded |
//! | [`names`] | `scorenames`: text ↔ bindings, merging | FAT, peers |
//! | [`cloud`] | settings from where clouds put them: found and understood | what a cloud is asked |
//! | [`settings`] | `granary.ini`: text ↔ settings | where the text is kept |
//! | [`disk`] | partition tables, and the venti partitions they lead to | what is in those partitions |
//!
//! Never: I/O of its own, a clock, randomness, `unsafe`, a panic on what a disk holds.
//!
//! What a disk promises: a sector is written whole or not at all; writes that completed before a
//! [`device::BlockDevice::flush`] survive a power cut once that flush has succeeded; everything else may be lost,
//! torn at sector grain, or land in any order.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod archive;
mod arena;
pub mod arithmetic;
pub mod block_type;
pub mod check;
pub mod cloud;
pub mod device;
pub mod disk;
mod disk_index;
pub mod fat;
pub mod format;
pub mod lump_cache;
pub mod make;
pub mod memory_index;
pub mod names;
pub mod partition;
pub mod recovery;
pub mod salvage;
pub mod score;
pub mod scrub;
pub mod settings;
pub mod simulation;
pub mod slots;
pub mod store;
pub mod transfer;
pub mod trial;
pub mod whack;

/// Seconds since 1970, as venti writes them (u32, good until 2106).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u32);
