//! What can go wrong in the store: what the client is told, and what the operator.

use crate::block_type::BlockType;
use crate::device::DeviceError;
use crate::format::Name;
use crate::format::clump::ClumpError;
use crate::score::Score;
use alloc::boxed::Box;
use alloc::rc::Rc;

/// Why a request was not done. `Display` is the text that a venti client sees (venti's own, where it has one).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not stored here, under this type.
    #[error("no block with score {score}/{} exists", .block_type.decoded())]
    NoSuchBlock {
        /// The score asked for.
        score: Score,
        /// The type asked for.
        block_type: BlockType,
    },
    /// More than 56 KiB.
    #[error("lump too large")]
    TooLarge,
    /// Other data with the same SHA-1 is stored already; the first stays, the second is refused.
    #[error("score collision {0}")]
    Collision(Score),
    /// Every arena is full. Reads go on; arenas can be added.
    #[error("no space left in arenas")]
    NoSpace,
    /// The block is stored, but what the disk holds is not it.
    #[error("{0}")]
    Damaged(Damage),
    /// A disk failed. For writes and syncs: what was not durable before still is not, and is tried again.
    #[error("{partition}: {error}")]
    Device {
        /// The partition, as the settings name it.
        partition: Rc<str>,
        /// What the device said.
        error: DeviceError,
    },
    /// The index does not know where the block is: its bucket is damaged, and memory does not hold the index.
    #[error("index bucket {bucket} of {partition} is damaged: rebuild the index")]
    IndexDamaged {
        /// The index section, as the settings name it.
        partition: Rc<str>,
        /// The bucket.
        bucket: u32,
    },
    /// Neither memory nor the index sections have room for another entry. Reads go on.
    #[error("no space left in the index: give it more memory, or more and larger index sections")]
    IndexFull,
    /// The store was opened for reading only.
    #[error("read only")]
    ReadOnly,
}

/// Who must act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nobody: the request was the client's to make otherwise.
    Request,
    /// The operator, in time: add arenas.
    Space,
    /// The operator, soon: data is damaged and should be healed.
    Damage,
    /// The operator, now: a disk fails.
    Disk,
}

impl StoreError {
    /// Who must act on it.
    pub fn severity(&self) -> Severity {
        match self {
            StoreError::NoSuchBlock { .. }
            | StoreError::TooLarge
            | StoreError::Collision(_)
            | StoreError::ReadOnly => Severity::Request,
            StoreError::NoSpace | StoreError::IndexFull => Severity::Space,
            StoreError::Damaged(_) | StoreError::IndexDamaged { .. } => Severity::Damage,
            StoreError::Device { .. } => Severity::Disk,
        }
    }
}

/// A place on disk that does not hold what it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The arena.
    pub arena: Name,
    /// Byte offset in its log, or of the clump number where `cause` says so.
    pub offset: u64,
    /// What is wrong there.
    pub cause: DamageCause,
}

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageCause {
    /// The clump's header.
    Header(ClumpError),
    /// The clump does not end within the log.
    BeyondEnd,
    /// The stored bytes do not unpack to the size that the header gives.
    Unpack,
    /// The data is not what its score says.
    Score {
        /// What the header says.
        expected: Score,
        /// What the data has.
        got: Score,
    },
    /// The device could not read it.
    Unreadable(DeviceError),
    /// The arena's head block; log and tail do not need it.
    Head,
    /// The arena's tail block; rebuilt from the log.
    Tail,
    /// A record of the directory, or their sum; the log was walked instead. `offset` is the record's number.
    Directory,
    /// A record of the directory, which speaks of another block than the whole clump that stands there.
    Record {
        /// The record's number.
        number: u32,
    },
    /// The arena is not what it was when it was sealed, though every clump and record in it is whole.
    Seal {
        /// The SHA-1 that it was sealed with.
        expected: Score,
        /// The SHA-1 that it has, or the one that stands in its tail.
        got: Score,
    },
    /// The seal cannot be checked, since the device could not read all of the arena.
    SealUnreadable(DeviceError),
    /// Bytes in the log that are no clump; a filler clump now covers them. `offset` is where they begin.
    Hole {
        /// Bytes.
        len: u64,
    },
    /// A bucket of the index is damaged. It is left as it is; new entries of it are found through memory only.
    /// `offset` is its number.
    BucketDamaged,
    /// A bucket of the index has no room for an entry; the block is found through memory only.
    BucketFull,
}

impl core::fmt::Display for Damage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Damage { arena, offset, cause } = self;
        match cause {
            DamageCause::Header(error) => write!(f, "loadclump {arena} {offset}: {error}"),
            DamageCause::BeyondEnd => {
                write!(f, "loadclump {arena} {offset}: clump reaches past the log's end")
            }
            DamageCause::Unpack => write!(f, "loadclump {arena} {offset}: decompression of {offset} failed"),
            DamageCause::Score { expected, got } => {
                write!(f, "loading clump: corrupted at {arena} {offset}; expected={expected} got={got}")
            }
            DamageCause::Unreadable(error) => write!(f, "loadclump {arena} {offset}: {error}"),
            DamageCause::Head => write!(f, "{arena}: head block is damaged; the arena works without"),
            DamageCause::Tail => write!(f, "{arena}: tail block is damaged; rebuilt from the log"),
            DamageCause::Directory => {
                write!(f, "{arena}: directory is damaged at record {offset}; the log was read instead")
            }
            DamageCause::Record { number } => {
                write!(f, "{arena}: directory record {number} is not that of the clump at {offset}")
            }
            DamageCause::Seal { expected, got } => {
                write!(f, "{arena}: the seal is broken; expected={expected} got={got}")
            }
            DamageCause::SealUnreadable(error) => write!(f, "{arena}: the seal cannot be checked: {error}"),
            DamageCause::Hole { len } => {
                write!(f, "{arena}: {len} bytes at {offset} in the log are no clump")
            }
            DamageCause::BucketDamaged => {
                write!(f, "{arena}: index bucket {offset} is damaged: rebuild the index")
            }
            DamageCause::BucketFull => {
                write!(f, "{arena}: no room in the index bucket of the clump at {offset}")
            }
        }
    }
}

/// Why a store could not be opened. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A partition's header or map is not what it must be.
    #[error("{partition}: {reason}")]
    Partition {
        /// The partition, as the settings name it.
        partition: Rc<str>,
        /// What is wrong, and what to do.
        reason: Box<PartitionFault>,
    },
    /// An arena of the partition cannot be used.
    #[error("{partition}: {arena}: {reason}")]
    Arena {
        /// The partition, as the settings name it.
        partition: Rc<str>,
        /// The arena, as the partition's map names it.
        arena: Name,
        /// What is wrong.
        reason: Box<PartitionFault>,
    },
    /// Two arenas with one name: the wrong disks are together, or one is a copy of another.
    #[error("{second}: {arena} is also in {first}: is one disk a copy of the other?")]
    SameArena {
        /// The name.
        arena: Name,
        /// The partition that has it.
        first: Rc<str>,
        /// The partition that has it, too.
        second: Rc<str>,
    },
    /// The index was made for arenas that are not here: a disk is missing.
    #[error("the index names arena {arena}, which no arena partition has: is a disk missing?")]
    MissingArena {
        /// The name in the index's map.
        arena: Name,
    },
    /// Memory does not hold the index, and there is no other.
    #[error(
        "{blocks} blocks and more need {need} bytes of memory for their index, which may take {bytes_max}: \
         give it more, or add index sections"
    )]
    IndexTooLarge {
        /// Blocks in the store, as far as they were counted.
        blocks: u64,
        /// Bytes that their index takes.
        need: u64,
        /// Bytes it may take.
        bytes_max: u64,
    },
    /// Memory does not hold the index, and the one on disk is not complete.
    #[error(
        "{missing} blocks are not in the index sections, more than memory holds: \
         open the store for writing once, or rebuild the index"
    )]
    IndexBehind {
        /// Blocks that are missing.
        missing: u64,
    },
    /// The blocks that the index lacked could not be put into it.
    #[error("the index sections cannot be completed: {0}")]
    IndexIncomplete(StoreError),
    /// There is nothing to store blocks in.
    #[error("no arena partition is given: name one with `arenas` in the configuration")]
    NoArenas,
}

impl OpenError {
    /// A partition that is not what it must be.
    pub(crate) fn partition(name: &str, reason: impl Into<PartitionFault>) -> OpenError {
        OpenError::Partition { partition: name.into(), reason: Box::new(reason.into()) }
    }

    /// An arena that cannot be used.
    pub(crate) fn arena(partition: &str, arena: Name, reason: PartitionFault) -> OpenError {
        OpenError::Arena { partition: partition.into(), arena, reason: Box::new(reason) }
    }
}

/// What is wrong with a partition or an arena.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartitionFault {
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A header, head or tail.
    #[error(transparent)]
    Format(#[from] crate::format::FormatError),
    /// A map.
    #[error(transparent)]
    Text(#[from] crate::format::text::TextError),
    /// An arena outside its partition.
    #[error(transparent)]
    Misplaced(#[from] crate::format::arena_partition::MisplacedArena),
    /// An arena too small to be one.
    #[error(transparent)]
    Geometry(#[from] crate::format::geometry::BadGeometry),
    /// Head or tail carry another name than the map.
    #[error("its tail says that it is {found}: the map, or the tail, belongs to another disk")]
    OtherName {
        /// The name in the tail.
        found: Name,
    },
    /// Neither head nor tail can be read: where the log ends cannot be known.
    #[error("head and tail are both damaged: recover the partition before it is used")]
    HeadAndTail,
    /// A tail whose counters contradict each other, or the arena's size.
    #[error("its counters cannot be those of an arena of this size")]
    Counters,
    /// Head and tail disagree about what clumps begin with, and the log follows the other one.
    #[error("its clump magic number {0:#010x} is not the log's")]
    OtherMagic(u32),
    /// The index gives the arena another size than it has.
    #[error(
        "the index has {mapped} bytes for it, it has {size}: is it the arena that the index was made for?"
    )]
    OtherSize {
        /// Bytes in the index's map.
        mapped: u64,
        /// Bytes of log and directory.
        size: u64,
    },
    /// The index sections do not belong together.
    #[error("it does not belong to the index of the first section")]
    OtherIndex,
    /// The section map does not have the section, or gives it other buckets than its header does.
    #[error("the index's section map and the section's header disagree about its buckets")]
    OtherBuckets,
    /// Its buckets carry another magic number than its header.
    #[error(
        "its header and its buckets do not belong together, so that it would deny blocks: \
         rebuild the index, or give the store memory for all of it"
    )]
    ForeignBuckets,
    /// The sections' buckets are not a whole index.
    #[error(transparent)]
    BucketCount(#[from] crate::format::index_config::BadBucketCount),
    /// The bloom filter cannot be that of this index.
    #[error("it has far fewer bits set than the blocks of the index have: make it anew")]
    SparseFilter,
    /// The partition is smaller than its header says.
    #[error("its header says that it has {claimed} bytes, it has {size}: has the disk shrunk?")]
    Shrunk {
        /// Bytes by its header.
        claimed: u64,
        /// Bytes of the partition.
        size: u64,
    },
}
