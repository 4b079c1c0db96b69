//! A file of bindings, `scorenames` above all: its text, and what it binds.
//!
//! Knows records, and how two files become one. Must not know whose trees are complete, nor where files are kept.
//!
//! Two files are merged as sets of records: nothing is lost, nothing is there twice, and whoever merges first, both
//! ends say the same. A name may so come to have two roots; both are kept, and that is a *conflict*.

use super::binding::{BadBinding, Binding};
use super::ndb::{self, Item, Tuple};
use crate::score::Score;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

/// A longer file is refused: some 150,000 names.
pub const TEXT_LEN_MAX: usize = 16 << 20;

/// A file of bindings.
#[derive(Clone, Debug, Default)]
pub struct Names {
    items: Vec<Item>,
    /// Places of a name's records in `items`, in their order.
    by_name: BTreeMap<String, Vec<usize>>,
    bindings: Vec<Option<Binding>>,
    bad: Vec<BadBinding>,
}

/// A record of another file that ours did not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it binds.
    pub binding: Binding,
    /// The record, with whatever else it says.
    pub raw: Vec<u8>,
}

impl Names {
    /// Reads a file. What is no binding is kept as text, and told by [`Names::bad`].
    pub fn parse(text: &[u8]) -> Names {
        let mut names = Names::default();
        for item in ndb::parse(text) {
            names.push(item);
        }
        names
    }

    fn push(&mut self, item: Item) {
        let binding = match Binding::of(&item) {
            Some(Ok(binding)) => Some(binding),
            Some(Err(error)) => {
                self.bad.push(error);
                None
            }
            None => None,
        };
        if let Some(binding) = &binding {
            self.by_name.entry(binding.name.clone()).or_default().push(self.items.len());
        }
        self.items.push(item);
        self.bindings.push(binding);
    }

    /// The file's text.
    pub fn text(&self) -> Vec<u8> {
        self.items.iter().flat_map(|item| item.raw.iter().copied()).collect()
    }

    /// Records that speak of a name and bind nothing.
    pub fn bad(&self) -> &[BadBinding] {
        &self.bad
    }

    /// Everything that is bound, in the file's order. Records that differ in nothing that counts here come once each.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().flatten()
    }

    /// Distinct names.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What a name is bound to: the first is what `ndb/query` finds; more than one root is a conflict.
    pub fn get(&self, name: &str) -> impl Iterator<Item = &Binding> {
        let places = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        places.iter().filter_map(|place| self.bindings.get(*place)?.as_ref())
    }

    /// The names, in order, each once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The bindings that a user made.
    pub fn of_user<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Binding> {
        self.iter().filter(move |binding| binding.user == user)
    }

    /// The bindings to a root.
    pub fn of_root(&self, root: Score) -> impl Iterator<Item = &Binding> {
        self.iter().filter(move |binding| binding.root == root)
    }

    /// Whether this name is bound to this root.
    pub fn has(&self, name: &str, root: Score) -> bool {
        self.get(name).any(|binding| binding.root == root)
    }

    /// The names that are bound to more than one root.
    pub fn conflicts(&self) -> impl Iterator<Item = &str> {
        let differ = |name: &&str| {
            let roots: BTreeSet<Score> = self.get(name).map(|binding| binding.root).collect();
            roots.len() > 1
        };
        self.names().filter(differ)
    }

    /// Adds a record, and the empty line that savesnap leaves behind each.
    pub fn append(&mut self, raw: &[u8]) {
        self.close_last_line();
        let items = ndb::parse(raw);
        let adds_record = items.iter().any(Item::is_record);
        items.into_iter().for_each(|item| self.push(item));
        if adds_record {
            self.push(Item { raw: b"\n".to_vec(), tuples: Vec::new() });
        }
    }

    /// A line that somebody did not finish must not be finished by what comes behind it: it becomes a comment.
    fn close_last_line(&mut self) {
        if let Some(last) = self.items.last_mut().filter(|item| item.is_cut_off()) {
            let cut = core::mem::take(&mut last.raw);
            last.raw = [b"# cut off: ".as_slice(), &cut, b"\n"].concat();
        }
    }

    /// What another file binds and this one does not say in the same words.
    pub fn news(&self, other: &Names) -> Vec<News> {
        let known: BTreeSet<&[Tuple]> = self.records().map(|item| item.tuples.as_slice()).collect();
        let mut seen = BTreeSet::new();
        let pairs = other.items.iter().zip(&other.bindings);
        let news = pairs.filter_map(|(item, binding)| Some((item, binding.as_ref()?)));
        news.filter(|(item, _)| !known.contains(item.tuples.as_slice()) && seen.insert(&item.tuples))
            .map(|(item, binding)| News { binding: binding.clone(), raw: item.raw.clone() })
            .collect()
    }

    /// Comments, and records that bind nothing, which another file has and this one has not. A line that continues no
    /// record there must not continue one here: it becomes a comment.
    pub fn foreign_text(&self, other: &Names) -> Vec<Vec<u8>> {
        let known: BTreeSet<&[u8]> = self.items.iter().map(|item| item.raw.trim_ascii()).collect();
        let mut seen = BTreeSet::new();
        let pairs = other.items.iter().zip(&other.bindings);
        let plain = pairs.filter(|(item, binding)| binding.is_none() && !item.is_cut_off());
        let alone = plain.map(|(item, _)| match item.raw.first() {
            Some(b' ' | b'\t' | b'\r') if !item.raw.trim_ascii().is_empty() => [b"#", &item.raw[..]].concat(),
            _ => item.raw.clone(),
        });
        alone
            .filter(|raw| {
                let text = raw.trim_ascii();
                !text.is_empty() && !known.contains(text) && seen.insert(text.to_owned())
            })
            .collect()
    }

    /// Takes over everything of another file that this one lacks.
    pub fn merge(&mut self, other: &Names) {
        for news in self.news(other) {
            self.append(&news.raw);
        }
        for text in self.foreign_text(other) {
            self.close_last_line();
            ndb::parse(&text).into_iter().for_each(|item| self.push(item));
        }
    }

    /// Takes the records of a name and root out of the file. Returns them.
    pub fn take(&mut self, name: &str, root: Score) -> Vec<u8> {
        let mut taken = Vec::new();
        let mut kept = Names::default();
        for (item, binding) in core::mem::take(&mut self.items).into_iter().zip(&self.bindings) {
            if binding.as_ref().is_some_and(|binding| binding.name == name && binding.root == root) {
                taken.extend_from_slice(&item.raw);
            } else {
                kept.push(item);
            }
        }
        *self = kept;
        taken
    }

    fn records(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_record())
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
