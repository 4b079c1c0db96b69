//! FAT16 and FAT32: what a 9fat partition is. Reads files, and replaces them so that a power cut leaves old or new.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`boot_sector`] | the geometry, and what a sector must say to be believed | tables, I/O |
//! | [`table`] | chains of clusters, in memory | what a chain holds |
//! | [`name`] | short and long names | where entries stand |
//! | [`directory`] | entries: bytes ↔ names, places, sizes | chains, I/O |
//! | [`volume`] | the order of reads and writes | venti |
//! | `change` | names, directories, longer files: which one write makes it so | who asks |
//! | `tidy` | what belongs to which file, and what a power cut leaves | how files are written |
//! | [`shared`] | one volume for several users | the order of writes |
//!
//! Made is FAT16 with two reserved sectors: the second belongs to the Plan 9 table (prep(8)) of the partition that
//! begins in the same place, where FAT32 would keep its own information.

pub mod boot_sector;
mod change;
pub mod directory;
pub mod name;
pub mod shared;
pub mod table;
mod tidy;
pub mod volume;

pub use shared::NineFat;
pub use tidy::FatSurvey;
pub use volume::{FatError, Volume};
