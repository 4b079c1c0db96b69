//! What stands where on a disk: partition tables of three kinds, and the venti partitions they lead to.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`mbr`] | the DOS table | sectors other than its own |
//! | [`gpt`] | the GUID table and its checksums | what a partition holds |
//! | [`prep`] | the text table inside a Plan 9 partition | what a part holds |
//! | [`unfinished`] | the first sector of a disk that is being laid out | what is laid out |
//! | [`contents`] | the magic numbers that say what a part holds | the rest of those formats |
//! | [`fn@find`] | the order in which tables are looked for on a device | how a store is opened |
//! | [`mod@survey`] | which parts of all disks together make a store | how it is opened |
//! | [`venti_conf`] | what venti's configuration inside a partition says of them | what they hold |
//!
//! Reading never writes and never refuses a whole disk for one bad entry: what is doubtful is left out and told as a
//! [`Complaint`].

pub mod contents;
mod find;
pub mod gpt;
pub mod mbr;
pub mod prep;
pub mod survey;
pub mod unfinished;
pub mod venti_conf;

pub use contents::Contents;
pub use find::{find, sector_size_of_tables};

use alloc::string::String;
use alloc::vec::Vec;

/// The kind of the outermost table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A GUID partition table.
    Gpt,
    /// A DOS table.
    Mbr,
    /// A Plan 9 table at the very start, without one around it.
    Plan9,
    /// No table: the whole device is one part.
    None,
    /// None yet: laying the disk out was begun, and not finished. There are no parts.
    Unfinished,
}

/// A named stretch of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskPart {
    /// The name that Plan 9 gives it: from a Plan 9 table (`arenas`), else from its type (`esp`, `plan9.1`); `data` for
    /// a whole device. Used once in a layout.
    pub name: String,
    /// First sector on the device.
    pub first: u64,
    /// Sectors; at least 1, and all of them are on the device.
    pub count: u64,
    /// What it seems to hold.
    pub contents: Contents,
}

impl DiskPart {
    /// Whether the two share a sector.
    pub fn overlaps(&self, other: &DiskPart) -> bool {
        self.first < other.first + other.count && other.first < self.first + self.count
    }
}

/// What was found on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The kind of the outermost table.
    pub table: Table,
    /// The parts, in the order of the tables. A Plan 9 partition is listed, and then the parts inside it.
    pub parts: Vec<DiskPart>,
    /// What was left out or is doubtful.
    pub complaints: Vec<Complaint>,
}

impl Layout {
    /// The part of this name.
    pub fn part(&self, name: &str) -> Option<&DiskPart> {
        self.parts.iter().find(|part| part.name == name)
    }

    /// The parts that hold this, in the order of the tables.
    pub fn holding(&self, contents: Contents) -> impl Iterator<Item = &DiskPart> {
        self.parts.iter().filter(move |part| part.contents == contents)
    }
}

/// Something on a disk that a person should know of. Nothing was changed on the disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Complaint {
    /// Only the copy of the GPT at the end of the disk is good.
    #[error("the first partition table is damaged ({0}); its copy at the end of the disk is used")]
    FirstTable(gpt::GptError),
    /// Only the first copy of the GPT is good.
    #[error("the copy of the partition table at the end of the disk is damaged ({0}); the first one is used")]
    SecondTable(gpt::GptError),
    /// A disk that says it has a GPT, and neither copy is good.
    #[error("both copies of the partition table are damaged ({0}); no partition can be found")]
    NoTable(gpt::GptError),
    /// The table was made for a larger disk.
    #[error("the disk has shrunk: its partition table was made for {expected} sectors, it has {found}")]
    Shrunk {
        /// Sectors that the table wants at least.
        expected: u64,
        /// Sectors there are.
        found: u64,
    },
    /// The table was made for a smaller disk; the rest is unused.
    #[error("the disk has grown: its partition table covers {covered} of {found} sectors")]
    Grown {
        /// Sectors that the table covers.
        covered: u64,
        /// Sectors there are.
        found: u64,
    },
    /// A part that is not all on the disk, or not all in the partition around it. It is left out.
    #[error("partition {name} is ignored: sectors {first} to {end} are not all within {room}")]
    OutOfRange {
        /// Its name.
        name: String,
        /// First sector, as the table counts.
        first: u64,
        /// One past its last sector, as the table counts.
        end: u64,
        /// Sectors that there are to be in.
        room: u64,
    },
    /// Two parts share sectors. Both are listed, and neither may be written.
    #[error("partitions {0} and {1} overlap")]
    Overlap(String, String),
    /// A line of a Plan 9 table is not understood.
    #[error("partition {partition}: {line}")]
    Line {
        /// The Plan 9 partition.
        partition: String,
        /// The line.
        line: prep::BadLine,
    },
    /// The chain of extended partitions has a loop, or more links than any tool makes; its rest is left out.
    #[error("the chain of extended partitions is damaged at sector {0}")]
    Extended(u64),
}

#[cfg(test)]
mod tests;
