//! Every name that the node has heard of, and how far it is: the state behind `scorenames`.
//!
//! ```text
//!   offered ──► waiting ──(everything beneath its root is here and durable)──► published
//!      │           │                                                              │
//!      └───────────┴───────────────(an administrator removes it)──────────────────┴──► removed, for good
//! ```
//!
//! Published names are the text of `scorenames` itself; what waits, and what was removed, stands in files of the same
//! form beside it. A file that a power cut left behind the others does no harm: what is removed counts more than what is
//! published, and that more than what waits.
//!
//! Must not know trees, stores, or where files are kept.

use super::binding::Binding;
use super::database::Names;
use super::proof::{Proof, Proofs};
use crate::score::Score;
use alloc::string::String;
use alloc::vec::Vec;

/// Names that may wait at a time. More are not lost: whoever offers them has them, and will offer them again.
pub const WAITING_MAX: usize = 10_000;

/// The files of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// What everybody sees.
    Published,
    /// What is not complete yet.
    Waiting,
    /// What shall not come back.
    Removed,
    /// What came of walks.
    Proofs,
}

impl File {
    /// All, in the order in which they are to be written: at no moment must a name be in none.
    pub const ALL: [File; 4] = [File::Removed, File::Proofs, File::Published, File::Waiting];

    /// Its name in 9fat.
    pub const fn name(self) -> &'static str {
        match self {
            File::Published => super::FILE,
            File::Waiting => "names.new",
            File::Removed => "names.gone",
            File::Proofs => "names.ok",
        }
    }
}

/// How far a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its tree is not known to be complete here; nobody but `names/` sees it.
    Waiting,
    /// Everybody sees it.
    Published,
    /// An administrator took it away.
    Removed,
}

impl Stage {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Waiting => "waiting",
            Stage::Published => "published",
            Stage::Removed => "removed",
        }
    }
}

/// Why a name is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is bound to something else. Names are never rebound.
    #[error("{0} is bound to another root: names are never rebound, choose a new one")]
    Bound(String),
    /// It was removed.
    #[error("{0} was removed by an administrator and is not taken back")]
    Removed(String),
    /// Too many wait.
    #[error("too many names wait for their blocks; try again when some have been published")]
    TooManyWaiting,
    /// There is no such name.
    #[error("there is no name {0}")]
    Unknown(String),
}

/// What came of offering a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is known, with this root.
    Known(Stage),
    /// It waits from now on.
    New,
}

/// Everything that is known of names.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    published: Names,
    waiting: Names,
    removed: Names,
    proofs: Proofs,
    changed: [bool; 4],
    /// Counts the changes of what is published.
    version: u64,
}

impl Registry {
    /// What the files say; a file that is not there is empty.
    pub fn load(published: &[u8], waiting: &[u8], removed: &[u8], proofs: &[u8]) -> Registry {
        let mut registry = Registry {
            published: Names::parse(published),
            waiting: Names::parse(waiting),
            removed: Names::parse(removed),
            proofs: Proofs::parse(proofs),
            changed: [false; 4],
            version: 0,
        };
        registry.settle();
        registry
    }

    /// Where the files disagree, one of them was not written any more.
    fn settle(&mut self) {
        let both = |one: &Names, other: &Names| -> Vec<Binding> {
            one.iter().filter(|binding| other.has(&binding.name, binding.root)).cloned().collect()
        };
        for Binding { name, root, .. } in both(&self.removed, &self.published) {
            self.published.take(&name, root);
            self.mark(File::Published);
        }
        let known = [both(&self.removed, &self.waiting), both(&self.published, &self.waiting)].concat();
        for Binding { name, root, .. } in known {
            self.waiting.take(&name, root);
            self.mark(File::Waiting);
        }
    }

    fn mark(&mut self, file: File) {
        self.changed[file as usize] = true;
        self.version += u64::from(file == File::Published);
    }

    /// A number that grows whenever what is published changes.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The files that must be written, in order, with their contents.
    pub fn changes(&self) -> Vec<(File, Vec<u8>)> {
        let changed = File::ALL.into_iter().filter(|file| self.changed[*file as usize]);
        changed.map(|file| (file, self.text(file))).collect()
    }

    /// The text of a file.
    pub fn text(&self, file: File) -> Vec<u8> {
        match file {
            File::Published => self.published.text(),
            File::Waiting => self.waiting.text(),
            File::Removed => self.removed.text(),
            File::Proofs => self.proofs.text(),
        }
    }

    /// A file was written as [`Registry::changes`] gave it.
    pub fn saved(&mut self, file: File) {
        self.changed[file as usize] = false;
    }

    /// What everybody sees.
    pub fn published(&self) -> &Names {
        &self.published
    }

    /// What waits for its blocks.
    pub fn waiting(&self) -> &Names {
        &self.waiting
    }

    /// What was removed.
    pub fn removed(&self) -> &Names {
        &self.removed
    }

    /// What came of the last walk beneath a name.
    pub fn proof(&self, name: &str, root: Score) -> Option<&Proof> {
        self.proofs.get(name, root)
    }

    /// How far a binding is; `None` if nobody has offered it.
    pub fn stage(&self, name: &str, root: Score) -> Option<Stage> {
        let lists = [
            (&self.removed, Stage::Removed),
            (&self.published, Stage::Published),
            (&self.waiting, Stage::Waiting),
        ];
        lists.into_iter().find(|(names, _)| names.has(name, root)).map(|(_, stage)| stage)
    }

    /// Every binding of a name with how far it is, what everybody sees first.
    pub fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Binding, Stage)> {
        let with = |names: &'a Names, stage| names.get(name).map(move |binding| (binding, stage));
        with(&self.published, Stage::Published)
            .chain(with(&self.waiting, Stage::Waiting))
            .chain(with(&self.removed, Stage::Removed))
    }

    /// Takes a name that somebody here gives: it must not be bound to anything else.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn add(&mut self, binding: &Binding) -> Result<Offered, Refused> {
        let elsewhere = self.get(&binding.name).any(|(known, _)| known.root != binding.root);
        if elsewhere {
            return Err(Refused::Bound(binding.name.clone()));
        }
        self.offer(binding, &binding.record())
    }

    /// Takes a record of another node or tool. One name with two roots is a conflict that keeps both.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn offer(&mut self, binding: &Binding, raw: &[u8]) -> Result<Offered, Refused> {
        match self.stage(&binding.name, binding.root) {
            Some(Stage::Removed) => return Err(Refused::Removed(binding.name.clone())),
            Some(stage) => return Ok(Offered::Known(stage)),
            None => {}
        }
        if self.waiting.len() >= WAITING_MAX {
            return Err(Refused::TooManyWaiting);
        }
        self.waiting.append(raw);
        self.mark(File::Waiting);
        Ok(Offered::New)
    }

    /// Takes a whole file of another node, or one that a tool wrote here: a union, of which what is new waits. Comments
    /// and records that bind nothing are kept at once. Returns the names that wait from now on, and those refused.
    pub fn merge(&mut self, text: &[u8]) -> (Vec<String>, Vec<Refused>) {
        let theirs = Names::parse(text);
        let (mut new, mut refused) = (Vec::new(), Vec::new());
        for news in self.published.news(&theirs) {
            match self.offer(&news.binding, &news.raw) {
                Ok(Offered::New) => new.push(news.binding.name),
                Ok(Offered::Known(_)) => {}
                Err(error) => refused.push(error),
            }
        }
        for text in self.published.foreign_text(&theirs) {
            self.published.append(&text);
            self.mark(File::Published);
        }
        (new, refused)
    }

    /// The tree of a waiting name is complete: from now on everybody sees it. `false` if it does not wait.
    pub fn publish(&mut self, name: &str, root: Score) -> bool {
        let raw = self.waiting.take(name, root);
        if raw.is_empty() {
            return false;
        }
        self.published.append(&raw);
        self.mark(File::Published);
        self.mark(File::Waiting);
        true
    }

    /// Takes a name away, for good.
    ///
    /// # Errors
    /// If there is none of this root.
    pub fn remove(&mut self, name: &str, root: Score) -> Result<(), Refused> {
        let published = self.published.take(name, root);
        let waiting = self.waiting.take(name, root);
        if published.is_empty() && waiting.is_empty() {
            return Err(Refused::Unknown(String::from(name)));
        }
        if !published.is_empty() {
            self.mark(File::Published);
        }
        if !waiting.is_empty() {
            self.mark(File::Waiting);
        }
        self.removed.append(if published.is_empty() { &waiting } else { &published });
        self.mark(File::Removed);
        self.proofs.forget(name, root);
        self.mark(File::Proofs);
        Ok(())
    }

    /// Notes what came of a walk.
    pub fn note(&mut self, name: &str, root: Score, proof: Proof) {
        self.proofs.set(name, root, proof);
        self.mark(File::Proofs);
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
