//! Names: which archive is called what. The text of ANTS' `scorenames`, a typed database behind it, and what becomes of
//! a name on its way from a peer to everybody's eyes.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`ndb`] | ndb(6) text: records ↔ bytes, losing none | what attributes mean |
//! | [`binding`] | one record of `scorenames` | files |
//! | [`database`] | a file of them: finding, adding, merging | which trees are complete |
//! | [`proof`] | what came of walking a tree, as text | how one is walked |
//! | [`keeper`] | when a name is durable, and when everybody may see it | who asks |
//! | [`registry`] | how far every name is: waiting, published, removed | where the files are kept |

pub mod binding;
pub mod database;
pub mod keeper;
pub mod ndb;
pub mod proof;
pub mod registry;

pub use binding::{BadBinding, Binding};
pub use database::{Names, News};
pub use keeper::{NameKeeper, NamesError};
pub use proof::Proof;
pub use registry::{Offered, Refused, Registry, Stage};

/// The name of the file in 9fat.
pub const FILE: &str = "scorenames";

/// All files in 9fat that change with the names alone.
pub const FILES: [&str; 5] = [
    FILE,
    registry::File::Waiting.name(),
    registry::File::Removed.name(),
    registry::File::Proofs.name(),
    keeper::WALK_FILE,
];
