//! Blocks for a client who may not do everything.

use super::blocks::Blocks;
use super::message::{Presence, Text};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::block_type::BlockType;
use storage::score::Score;
use storage::settings::Roles;

/// What a client may do with blocks, and with the names beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Read blocks.
    pub read: bool,
    /// Write blocks.
    pub write: bool,
    /// Exchange names.
    pub names: bool,
}

impl From<Roles> for Rights {
    fn from(roles: Roles) -> Rights {
        Rights { read: roles.read, write: roles.may_write(), names: roles.replicate || roles.admin }
    }
}

/// Some blocks, and what may be done with them: asked anew for each request, so that whoever loses a role loses it at
/// once.
pub struct Allowed<'a, B, F> {
    /// The blocks.
    pub blocks: &'a B,
    /// What the client may do now.
    pub rights: F,
}

const NO_READ: &str = "permission denied: you may not read here";
const NO_WRITE: &str = "permission denied: you may not write here";
const NO_NAMES: &str = "permission denied: names are for peers, with the role replicate";

impl<B, F: Fn() -> Rights> Allowed<'_, B, F> {
    fn check(&self, may: impl Fn(Rights) -> bool, refusal: &str) -> Result<(), Text> {
        if may((self.rights)()) { Ok(()) } else { Err(Text::new(refusal)) }
    }
}

impl<B: Blocks, F: Fn() -> Rights> Blocks for Allowed<'_, B, F> {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        self.check(|rights| rights.read, NO_READ)?;
        self.blocks.read(score, block_type, limit).await
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        self.check(|rights| rights.write, NO_WRITE)?;
        self.blocks.write(block_type, lump).await
    }

    async fn sync(&self) -> Result<(), Text> {
        self.check(|rights| rights.read || rights.write, NO_WRITE)?;
        self.blocks.sync().await
    }

    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text> {
        self.check(|rights| rights.write, NO_WRITE)?;
        self.blocks.have(names, asker).await
    }

    fn has_names(&self) -> bool {
        (self.rights)().names && self.blocks.has_names()
    }

    async fn names(&self, question: Bytes) -> Result<Bytes, Text> {
        self.check(|rights| rights.names, NO_NAMES)?;
        self.blocks.names(question).await
    }
}
