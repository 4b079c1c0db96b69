//! The node as a tree of files: what one looks into, and steers, over 9P.
//!
//! ```text
//! /9fat/…            the FAT partition; `scorenames` takes what is written to it as a merge
//! /names/NAME        one name: its root, how far it is, what was found beneath it
//! /peers/NAME       one peer: how far it is
//! /roots/NAME/…      the archive beneath a published name, to read
//! /arenas            one line an arena
//! /log               the last lines of the log
//! /status            figures, a line each
//! /ctl               commands; reading it says which there are
//! ```
//!
//! | module | what |
//! |---|---|
//! | `places` | what there is, and how one gets there |
//! | `rights` | who may do what |
//! | `ctl` | commands: text → what to do |
//! | `texts` | what files say that are made when they are opened |
//! | `look` | what is seen of each place |
//! | `fat` | 9fat as it is changed |
//! | `upgrade` | the machine's kernels, and who may change them |
//! | `roots` | archives, directory by directory, with the last lists kept |
//! | `serve` | all of it as [`crate::p9::Files`] |
//!
//! Never: a secret of the node, a write that its client may not make, memory without a bound for one client.

mod ctl;
mod fat;
mod look;
mod places;
mod rights;
mod roots;
mod serve;
mod texts;
mod upgrade;

pub use rights::Rights;
pub use serve::{LookAtDisks, NodeFiles, NodeTree, Surroundings};
pub use upgrade::Upgrades;
