//! What came of walking the tree beneath a name, kept as text beside the names.
//!
//! Knows the text's form: an ndb record each. A record that is none costs itself alone.

use super::binding::{NAME, ROOT};
use super::ndb;
use crate::Timestamp;
use crate::score::Score;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// The last walk beneath a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// When it ended.
    pub at: Timestamp,
    /// Every block was read from the disk and hashed; without, subtrees that were found complete before were believed.
    pub is_full: bool,
    /// How many times everything was read and hashed so far, this time included.
    pub count: u64,
    /// Blocks read.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blocks that are missing, damaged, or make no sense.
    pub faults: u64,
    /// The first of them: where, and what is wrong.
    pub first_fault: Option<String>,
}

impl Proof {
    /// Whether everything was there.
    pub fn is_complete(&self) -> bool {
        self.faults == 0
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proof { blocks, bytes, faults, first_fault, .. } = self;
        match first_fault {
            _ if *faults == 0 => write!(f, "complete: {blocks} blocks, {bytes} bytes"),
            Some(first) => write!(f, "incomplete: {faults} faults, the first: {first}"),
            None => write!(f, "incomplete: {faults} faults"),
        }
    }
}

/// The last walks of all names.
#[derive(Clone, Debug, Default)]
pub(super) struct Proofs {
    by_name: BTreeMap<(String, Score), Proof>,
}

impl Proofs {
    pub(super) fn get(&self, name: &str, root: Score) -> Option<&Proof> {
        self.by_name.get(&(name.to_string(), root))
    }

    pub(super) fn set(&mut self, name: &str, root: Score, proof: Proof) {
        self.by_name.insert((name.to_string(), root), proof);
    }

    pub(super) fn forget(&mut self, name: &str, root: Score) {
        self.by_name.remove(&(name.to_string(), root));
    }

    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = b"# What Granary found beneath each name, the last time it looked.\n".to_vec();
        for ((name, root), proof) in &self.by_name {
            let numbers = [
                ("at", u64::from(proof.at.0)),
                ("full", u64::from(proof.is_full)),
                ("proofs", proof.count),
                ("blocks", proof.blocks),
                ("bytes", proof.bytes),
                ("faults", proof.faults),
            ];
            let numbers = numbers.map(|(attribute, number)| (attribute, number.to_string()));
            let root = alloc::format!("vac:{root}");
            let mut tuples = Vec::from([(NAME, name.as_str()), (ROOT, root.as_str())]);
            tuples.extend(numbers.iter().map(|(attribute, number)| (*attribute, number.as_str())));
            // What a tree calls its files may have no place in a record.
            let first = proof.first_fault.as_deref().map(|first| {
                let plain = |c: char| if c == '"' || c == '⊞' || c.is_control() { '?' } else { c };
                first.chars().map(plain).collect::<String>()
            });
            tuples.extend(first.as_deref().map(|first| ("first", first)));
            text.extend(ndb::line(tuples).unwrap_or_default());
        }
        text
    }

    pub(super) fn parse(text: &[u8]) -> Proofs {
        let mut proofs = Proofs::default();
        for item in ndb::parse(text) {
            let number = |attribute: &str| item.value(attribute)?.parse::<u64>().ok();
            let read = || {
                let at = Timestamp(u32::try_from(number("at")?).ok()?);
                let proof = Proof {
                    at,
                    is_full: number("full")? != 0,
                    count: number("proofs").unwrap_or(0),
                    blocks: number("blocks")?,
                    bytes: number("bytes")?,
                    faults: number("faults")?,
                    first_fault: item.value("first").map(String::from),
                };
                Some(((String::from(item.value(NAME)?), item.value(ROOT)?.parse().ok()?), proof))
            };
            proofs.by_name.extend(read());
        }
        proofs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_read_as_they_were_written_and_anything_else_is_left_out() {
        let mut proofs = Proofs::default();
        let good = Proof { at: Timestamp(9), is_full: true, blocks: 3, bytes: 4, ..Proof::default() };
        let bad =
            Proof { faults: 2, first_fault: Some("/a file: it is missing".to_string()), ..good.clone() };
        proofs.set("a.1", Score::of(b"x"), good.clone());
        proofs.set("a.1", Score::of(b"y"), bad.clone());
        let text = [proofs.text().as_slice(), b"scorename=b.1 rootscore=vac:12 at=x\nnoise\n"].concat();
        let read = Proofs::parse(&text);
        assert_eq!(read.get("a.1", Score::of(b"x")), Some(&good));
        assert_eq!(read.get("a.1", Score::of(b"y")), Some(&bad));
        assert_eq!(read.by_name.len(), 2);
        assert_eq!(bad.to_string(), "incomplete: 2 faults, the first: /a file: it is missing");
    }

    #[test]
    fn a_file_name_that_no_record_can_hold_costs_its_odd_letters_alone() {
        let mut proofs = Proofs::default();
        let first_fault = Some("/a\"b\n: missing".to_string());
        proofs.set("a.1", Score::of(b"x"), Proof { faults: 1, first_fault, ..Proof::default() });
        let read = Proofs::parse(&proofs.text());
        let first = read.get("a.1", Score::of(b"x")).unwrap().first_fault.clone();
        assert_eq!(first.as_deref(), Some("/a?b?: missing"));
    }
}
