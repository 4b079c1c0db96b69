//! What a check found: places, what is wrong there, and whether it is damage or only not finished.

use crate::device::DeviceError;
use crate::format::arena_tail::Counters;
use crate::format::{FormatError, Name};
use crate::score::Score;
use crate::store::{DamageCause, PartitionFault};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The partition, as its owner names it.
    pub partition: Rc<str>,
    /// The arena, where it is in one.
    pub arena: Option<Name>,
    /// First byte in the partition.
    pub offset: u64,
    /// Bytes that are concerned.
    pub len: u64,
    /// What is wrong.
    pub fault: Fault,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Work that a server finishes by itself at its next start, or a limit of venti's: nothing that was promised is lost.
    Lag,
    /// Something stands on the disk that must not, or does not stand where it must.
    Damage,
}

/// What is wrong with a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The header of a partition.
    Header(PartitionFault),
    /// The map of a partition, or the text of an index section.
    Map(PartitionFault),
    /// An arena is in the index's map, and in no partition.
    NoArena,
    /// An arena's head block.
    Head(PartitionFault),
    /// An arena's tail block.
    Tail(PartitionFault),
    /// Nothing says what the arena's clumps begin with, and none was found.
    NoMagic,
    /// A clump.
    Clump {
        /// What is wrong with it.
        cause: DamageCause,
        /// The block that it held.
        score: Score,
        /// Its data is whole: only the header is not, and can be written again.
        whole: bool,
    },
    /// Bytes in the log that are no clump, and nothing says what they were.
    Hole {
        /// Why they are none.
        cause: DamageCause,
    },
    /// Records of the directory are not those of the log; one block of the directory.
    Directory {
        /// The first such record.
        record: u32,
        /// How many in this block.
        records: u32,
    },
    /// The tail's counters are not those of the log.
    Counters {
        /// What the tail says.
        tail: Counters,
        /// What the log has.
        log: Counters,
    },
    /// The tail calls clumps indexed whose end is no clump's end.
    Indexed(Counters),
    /// The seal is not the arena's SHA-1.
    Seal {
        /// What stands in the tail.
        stored: Score,
        /// What the arena has; `None` where it cannot be read.
        computed: Option<Score>,
    },
    /// Whole clumps behind what the tail counts: a server takes them in when it starts.
    Unsynced {
        /// How many.
        clumps: u32,
    },
    /// Something stands behind the last whole clump, where the log's end mark belongs: a write that was cut off.
    TornEnd(DamageCause),
    /// A sealed arena has not been summed.
    Unsummed,
    /// Clumps that the tail does not call indexed yet.
    Unindexed {
        /// How many.
        clumps: u32,
    },
    /// An arena that the index does not know: it is not served.
    Unmapped,
    /// A bucket of the index cannot be read, or is none.
    Bucket(FormatError),
    /// A bucket cannot be read.
    BucketUnreadable(DeviceError),
    /// The entries of a bucket are not in order, so that some are not found.
    BucketOrder,
    /// Entries that belong into other buckets.
    WrongBucket {
        /// How many.
        entries: u32,
    },
    /// Entries that point to where no such clump stands.
    Phantom {
        /// How many.
        entries: u32,
        /// One of them.
        score: Score,
    },
    /// Blocks that the tails call indexed have no entry.
    Missing {
        /// How many.
        entries: u32,
        /// One of them.
        score: Score,
    },
    /// A bucket has no room for one more entry.
    FullBucket,
    /// The filter lacks blocks that the tails call indexed.
    BloomMissing {
        /// How many.
        blocks: u64,
        /// One of them.
        score: Score,
    },
    /// Blocks that this filter hides from venti, whatever is done: some of their bits fall into its header.
    BloomHidden {
        /// How many.
        blocks: u64,
    },
}

impl Fault {
    /// How grave it is.
    pub fn grade(&self) -> Grade {
        match self {
            Fault::Unsynced { .. }
            | Fault::TornEnd(_)
            | Fault::Unsummed
            | Fault::Unindexed { .. }
            | Fault::Unmapped
            | Fault::FullBucket
            | Fault::BloomHidden { .. } => Grade::Lag,
            _ => Grade::Damage,
        }
    }

    /// One word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Fault::Header(_) => "header",
            Fault::Map(_) => "map",
            Fault::NoArena => "no-arena",
            Fault::Head(_) => "head",
            Fault::Tail(_) => "tail",
            Fault::NoMagic => "no-magic",
            Fault::Clump { .. } => "clump",
            Fault::Hole { .. } => "hole",
            Fault::Directory { .. } => "directory",
            Fault::Counters { .. } => "counters",
            Fault::Indexed(_) => "indexed",
            Fault::Seal { .. } => "seal",
            Fault::Unsynced { .. } => "unsynced",
            Fault::TornEnd(_) => "torn-end",
            Fault::Unsummed => "unsummed",
            Fault::Unindexed { .. } => "unindexed",
            Fault::Unmapped => "unmapped",
            Fault::Bucket(_) | Fault::BucketUnreadable(_) => "bucket",
            Fault::BucketOrder => "bucket-order",
            Fault::WrongBucket { .. } => "wrong-bucket",
            Fault::Phantom { .. } => "phantom",
            Fault::Missing { .. } => "missing",
            Fault::FullBucket => "full-bucket",
            Fault::BloomMissing { .. } => "bloom-missing",
            Fault::BloomHidden { .. } => "bloom-hidden",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.partition)?;
        if let Some(arena) = &self.arena {
            write!(f, "{arena}: ")?;
        }
        write!(f, "bytes {}..{}: {}", self.offset, self.offset + self.len, self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Header(fault) => write!(f, "partition header: {fault}"),
            Fault::Map(fault) => write!(f, "map: {fault}"),
            Fault::NoArena => f.write_str("the index knows this arena, and no partition has it"),
            Fault::Head(fault) => write!(f, "head: {fault}"),
            Fault::Tail(fault) => write!(f, "tail: {fault}"),
            Fault::NoMagic => f.write_str("head and tail are lost, and no clump was found"),
            Fault::Clump { cause, score, whole: true } => {
                write!(f, "clump header of block {score} is damaged, its data is whole: {}", Why(cause))
            }
            Fault::Clump { cause, score, whole: false } => {
                write!(f, "block {score} is lost here: {}", Why(cause))
            }
            Fault::Hole { cause } => write!(f, "no clump: {}", Why(cause)),
            Fault::Directory { record, records } => {
                write!(f, "directory: {records} records from number {record} on are not the log's")
            }
            Fault::Counters { tail, log } => write!(
                f,
                "tail counts {} clumps ({} compressed) of {} bytes, {} bytes unpacked; \
                 the log has {} ({}) of {}, {}",
                tail.clumps,
                tail.compressed_clumps,
                tail.used,
                tail.uncompressed_size,
                log.clumps,
                log.compressed_clumps,
                log.used,
                log.uncompressed_size
            ),
            Fault::Indexed(counters) => {
                write!(
                    f,
                    "tail calls {} clumps of {} bytes indexed: no clump ends there",
                    counters.clumps, counters.used
                )
            }
            Fault::Seal { stored, computed: Some(computed) } => {
                write!(f, "seal is {stored}, the arena has {computed}")
            }
            Fault::Seal { stored, computed: None } => write!(f, "seal {stored} cannot be verified"),
            Fault::Unsynced { clumps } => write!(f, "{clumps} whole clumps behind the last sync's"),
            Fault::TornEnd(cause) => write!(f, "a write behind the last sync's was cut off: {}", Why(cause)),
            Fault::Unsummed => f.write_str("full, and not summed yet"),
            Fault::Unindexed { clumps } => write!(f, "{clumps} clumps are not indexed yet"),
            Fault::Unmapped => f.write_str("the index does not know this arena: it is not served"),
            other => other.fmt_index(f),
        }
    }
}

impl Fault {
    fn fmt_index(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Bucket(error) => write!(f, "{error}"),
            Fault::BucketUnreadable(error) => write!(f, "index bucket: {error}"),
            Fault::BucketOrder => f.write_str("index bucket: its entries are not in order"),
            Fault::WrongBucket { entries } => write!(f, "index bucket: {entries} entries of other buckets"),
            Fault::Phantom { entries, score } => {
                write!(f, "index bucket: {entries} entries point to no such clump, such as that of {score}")
            }
            Fault::Missing { entries, score } => {
                write!(f, "index bucket: {entries} entries are missing, such as that of {score}")
            }
            Fault::FullBucket => f.write_str("index bucket is full: the index needs more buckets"),
            Fault::BloomMissing { blocks, score } => {
                write!(f, "bloom filter: {blocks} blocks are not marked, such as {score}")
            }
            Fault::BloomHidden { blocks } => {
                write!(f, "bloom filter: its size hides {blocks} blocks from venti (Granary finds them)")
            }
            _ => Ok(()),
        }
    }
}

/// A cause in words, without its place.
struct Why<'a>(&'a DamageCause);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DamageCause::Header(error) => write!(f, "{error}"),
            DamageCause::BeyondEnd => f.write_str("a clump would reach past the log's end"),
            DamageCause::Unpack => f.write_str("its data cannot be unpacked"),
            DamageCause::Score { got, .. } => write!(f, "its data has the score {got}"),
            DamageCause::Unreadable(error) => write!(f, "{error}"),
            // Not said of a clump.
            other => write!(f, "{other:?}"),
        }
    }
}

/// What the log of one arena holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArenaSummary {
    /// Its partition.
    pub partition: Rc<str>,
    /// Its name.
    pub arena: Name,
    /// Clumps that were unpacked, and have the hash that they claim.
    pub whole: u32,
    /// Clumps that are named somewhere, and whose data is damaged.
    pub lost: u32,
    /// Bytes in the log that are no clump.
    pub hole_bytes: u64,
    /// It takes no more.
    pub sealed: bool,
    /// Its seal was computed, and is right.
    pub seal_good: bool,
}

/// How full an index is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexSummary {
    /// Buckets looked at.
    pub buckets: u64,
    /// Entries in them.
    pub entries: u64,
    /// Entries in the fullest bucket.
    pub fullest: u32,
    /// Entries that a bucket has room for.
    pub capacity: u32,
    /// Buckets without room.
    pub full: u64,
}

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which it was found: partitions, arenas, index, filter.
    pub findings: Vec<Finding>,
    /// The arenas that could be read.
    pub arenas: Vec<ArenaSummary>,
    /// The index; `None` without sections that can be read.
    pub index: Option<IndexSummary>,
}

impl Report {
    /// The findings of a grade.
    pub fn of(&self, grade: Grade) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.fault.grade() == grade)
    }

    /// Whether anything is damaged.
    pub fn is_damaged(&self) -> bool {
        self.of(Grade::Damage).next().is_some()
    }
}
