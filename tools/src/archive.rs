//! Host files ↔ archives: what `granary vac` and `granary unvac` do, apart from their command lines.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`blocks`] | the seam: fetch and store blocks by score, many under way | files |
//! | [`remote`] | that seam over a venti client | archives |
//! | [`tree`] | reading an archive's directories | files of the host |
//! | [`host_file`] | what a host's files are to vac: owners, kinds, times | blocks |
//! | [`pattern`] | which paths are left out | everything else |
//! | [`save`] | a tree of host files → an archive | command lines |
//! | [`restore`] | an archive → a tree of host files, whoever made the archive | command lines |
//!
//! The work runs on a thread of its own with blocking files; the client runs on the runtime's. Between them
//! are bounded channels, so that memory does not grow with the tree.

pub mod blocks;
pub mod host_file;
pub mod pattern;
pub mod remote;
pub mod restore;
pub mod save;
pub mod tree;
