//! What a recovery will do, in words and in order.

use crate::block_type::BlockType;
use crate::format::Name;
use crate::score::Score;
use alloc::rc::Rc;
use core::fmt;

/// One thing to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The partition, as its owner names it.
    pub partition: Rc<str>,
    /// The arena, where it is in one.
    pub arena: Option<Name>,
    /// What is done there.
    pub action: Action,
}

/// What is done in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Header and map of an arena partition, from its arenas.
    WriteMap,
    /// An arena of which nothing is there: it is made anew, empty.
    MakeArena,
    /// An arena's head, from its tail or its clumps.
    WriteHead,
    /// Headers of clumps, from the directory; some cover bytes that are no clump.
    WriteHeaders {
        /// How many.
        headers: usize,
        /// How many of them are fillers.
        fillers: usize,
    },
    /// The mark behind the last clump.
    MarkEnd,
    /// The directory, from the log.
    WriteDirectory {
        /// Its records.
        records: u32,
    },
    /// The tail, from the log.
    WriteTail {
        /// Clumps that it will count.
        clumps: u32,
        /// Bytes that it will count.
        used: u64,
    },
    /// The tail's account of what is indexed, once the index is complete.
    CountIndexed,
    /// The seal is computed, and written if it is another.
    Sum,
    /// Header and text of an index section, from the other sections or from the arenas.
    WriteFront,
    /// Buckets, from the clumps.
    WriteBuckets {
        /// How many.
        buckets: u64,
    },
    /// Blocks are marked in the filter.
    Mark {
        /// How many.
        blocks: u64,
    },
    /// The filter's header.
    WriteFilterHeader,
}

/// A place that is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The partition, as its owner names it.
    pub partition: Rc<str>,
    /// The arena, where it is in one.
    pub arena: Option<Name>,
    /// Why.
    pub reason: LeftReason,
}

/// Why a place is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeftReason {
    /// Its first or its last block.
    #[error("its head or tail cannot be read: copy it to a whole disk first (--out)")]
    Unreachable,
    /// Head and tail say something else than the map.
    #[error("head and tail are those of another arena: is the map another disk's?")]
    OtherDisk,
    /// No head, no tail, no clump; but something.
    #[error("head and tail are lost, and no clump can be found, yet it is not empty")]
    NoMagic,
    /// No filler fits.
    #[error("{len} bytes at {offset} of its log are no clump, too few to be covered")]
    SmallHole {
        /// Offset in the log.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// A hole that cannot be read can be neither kept nor covered.
    #[error("{len} bytes at {offset} of its log cannot be read: copy it to a whole disk first (--out)")]
    Unreadable {
        /// Offset in the log.
        offset: u64,
        /// Bytes.
        len: u64,
    },
    /// The directory would reach into the log.
    #[error("there is no room for a directory of its clumps")]
    NoRoom,
    /// The partition's header cannot be found out.
    #[error("nothing says where its arenas are")]
    NoMap,
    /// The index's sections do not say how they belong together.
    #[error("nothing says which buckets it has: make the index anew (fmtisect, fmtindex), then recover")]
    NoIndex,
    /// Too small for a filter.
    #[error("it is too small for a filter")]
    NoFilter,
    /// Entries for which the index has no room.
    #[error("{0} entries find no room in full buckets: the index needs more")]
    FullBuckets(u64),
}

/// A block whose data is lost, and of which there is no other copy here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostBlock {
    /// Its score.
    pub score: Score,
    /// Its type.
    pub block_type: BlockType,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.partition, self.arena.as_ref())?;
        self.action.fmt(f)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, &self.partition, self.arena.as_ref())?;
        self.reason.fmt(f)
    }
}

fn write_place(f: &mut fmt::Formatter<'_>, partition: &str, arena: Option<&Name>) -> fmt::Result {
    write!(f, "{partition}: ")?;
    arena.map_or(Ok(()), |arena| write!(f, "{arena}: "))
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::WriteMap => f.write_str("write header and map, from its arenas"),
            Action::MakeArena => f.write_str("make it anew, empty: nothing is in it"),
            Action::WriteHead => f.write_str("write its head"),
            Action::WriteHeaders { headers, fillers } => {
                write!(f, "write {} clump headers, from the directory", headers - fillers)?;
                if *fillers > 0 {
                    write!(f, ", and {fillers} that cover what is no clump")?;
                }
                Ok(())
            }
            Action::MarkEnd => f.write_str("mark the end of its log"),
            Action::WriteDirectory { records } => write!(f, "write its directory of {records} records"),
            Action::WriteTail { clumps, used } => {
                write!(f, "write its tail: {clumps} clumps of {used} bytes")
            }
            Action::CountIndexed => f.write_str("count its clumps as indexed"),
            Action::Sum => f.write_str("sum it, and seal it anew if its seal is another"),
            Action::WriteFront => f.write_str("write header and text of the section"),
            Action::WriteBuckets { buckets } => write!(f, "write {buckets} buckets"),
            Action::Mark { blocks } => write!(f, "mark {blocks} blocks in the filter"),
            Action::WriteFilterHeader => f.write_str("write the filter's header"),
        }
    }
}
