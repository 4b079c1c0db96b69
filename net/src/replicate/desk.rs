//! Names exchanged over a connection to a venti, between Granaries: the server's end, and what both ends say.
//!
//! A server that announces `names` answers three questions. *What is your digest?* costs one small message where nothing
//! has changed. If something has, the answer adds a short hash for each of 256 heaps into which the records fall by their
//! own hashes; the client asks for the heaps that differ, and gives the records that the server lacks.
//!
//! Must not know when to ask, nor whose trees are complete.

use crate::clock::Clock;
use crate::venti::{Blocks, Presence, Text};
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};
use core::cell::RefCell;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::names::{NameKeeper, Names};
use storage::score::{SCORE_LEN, Score};

/// Heaps of records.
const HEAPS: usize = 256;
/// Bytes of a heap's hash.
const SHORT_LEN: usize = 8;
/// Bytes of records in one message.
pub(super) const PIECE: usize = 32 << 10;

/// A question of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which digest is yours, and, if it is not this one, which hashes have your heaps?
    Digest(Score),
    /// The records of a heap, from this byte on.
    Heap(u8, u32),
    /// Take these records.
    Give(Bytes),
}

impl Question {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Question::Digest(known) => [&[0], &known.0[..]].concat(),
            Question::Heap(heap, from) => [&[1, *heap], &from.to_be_bytes()[..]].concat(),
            Question::Give(text) => [&[2], &text[..]].concat(),
        }
        .into()
    }

    fn parse(mut bytes: Bytes) -> Option<Question> {
        let question = match bytes.try_get_u8().ok()? {
            0 => {
                let mut known = [0; SCORE_LEN];
                bytes.try_copy_to_slice(&mut known).ok()?;
                Question::Digest(Score(known))
            }
            1 => Question::Heap(bytes.try_get_u8().ok()?, bytes.try_get_u32().ok()?),
            2 => return Some(Question::Give(bytes)),
            _ => return None,
        };
        bytes.is_empty().then_some(question)
    }
}

/// Names, as they are exchanged.
pub(super) struct Book {
    pub(super) digest: Score,
    heaps: Vec<Vec<u8>>,
}

impl Book {
    pub(super) fn new(names: &Names) -> Book {
        let news = Names::default().news(names);
        let mut records: Vec<(Score, Vec<u8>)> =
            news.into_iter().map(|news| (Score::of(news.raw.trim_ascii()), news.raw)).collect();
        records.sort();
        let mut heaps = alloc::vec![Vec::new(); HEAPS];
        for (score, raw) in &records {
            if let Some(heap) = heaps.get_mut(usize::from(score.0[0])) {
                heap.extend_from_slice(raw.trim_ascii_end());
                heap.push(b'\n');
            }
        }
        let all: Vec<u8> = records.iter().flat_map(|(score, _)| score.0).collect();
        Book { digest: Score::of(&all), heaps }
    }

    /// A short hash of each heap.
    pub(super) fn hashes(&self) -> Vec<u8> {
        self.heaps.iter().flat_map(|heap| Score::of(heap).0.into_iter().take(SHORT_LEN)).collect()
    }

    /// The heaps whose hashes are others there.
    pub(super) fn differing(&self, theirs: &[u8]) -> Vec<u8> {
        let ours = self.hashes();
        let pairs = ours.chunks(SHORT_LEN).zip(theirs.chunks(SHORT_LEN));
        (0..=u8::MAX).zip(pairs).filter(|(_, (ours, theirs))| ours != theirs).map(|(heap, _)| heap).collect()
    }

    fn answer(&self, known: Score) -> Bytes {
        let hashes = if known == self.digest { Vec::new() } else { self.hashes() };
        [&self.digest.0[..], &hashes].concat().into()
    }

    fn piece(&self, heap: u8, from: u32) -> Bytes {
        let text = self.heaps.get(usize::from(heap)).map_or(&[][..], Vec::as_slice);
        let text = text.get(usize::try_from(from).unwrap_or(usize::MAX)..).unwrap_or_default();
        Bytes::copy_from_slice(text.get(..PIECE).unwrap_or(text))
    }
}

/// A digest, and the hashes of the heaps unless the digest was known.
pub(super) fn parse_digest(answer: &[u8]) -> Option<(Score, &[u8])> {
    let (digest, hashes) = answer.split_first_chunk::<SCORE_LEN>()?;
    let fits = hashes.is_empty() || hashes.len() == HEAPS * SHORT_LEN;
    fits.then_some((Score(*digest), hashes))
}

/// Blocks with names beside them, for a client who may exchange them.
pub struct WithNames<'a, B, D: BlockDevice + 'static, F, C> {
    blocks: &'a B,
    names: Option<&'a NameKeeper<D, F>>,
    clock: &'a C,
    book: RefCell<Option<(u64, Rc<Book>)>>,
}

impl<'a, B, D: BlockDevice + 'static, F, C> WithNames<'a, B, D, F, C> {
    /// `names`: none, for a client who may not.
    pub fn new(blocks: &'a B, names: Option<&'a NameKeeper<D, F>>, clock: &'a C) -> Self {
        WithNames { blocks, names, clock, book: RefCell::default() }
    }
}

impl<B, D: BlockDevice + 'static, F: BlockDevice, C> WithNames<'_, B, D, F, C> {
    /// What is published now.
    fn book(&self, names: &NameKeeper<D, F>) -> Rc<Book> {
        let version = names.registry().version();
        let mut kept = self.book.borrow_mut();
        match &*kept {
            Some((of, book)) if *of == version => book.clone(),
            _ => {
                let book = Rc::new(Book::new(names.registry().published()));
                *kept = Some((version, book.clone()));
                book
            }
        }
    }
}

impl<B: Blocks, D: BlockDevice + 'static, F: BlockDevice, C: Clock> Blocks for WithNames<'_, B, D, F, C> {
    async fn read(&self, score: Score, block_type: BlockType, limit: usize) -> Result<Bytes, Text> {
        self.blocks.read(score, block_type, limit).await
    }

    async fn write(&self, block_type: BlockType, lump: Bytes) -> Result<Score, Text> {
        self.blocks.write(block_type, lump).await
    }

    async fn sync(&self) -> Result<(), Text> {
        self.blocks.sync().await
    }

    async fn have(&self, names: &[(Score, BlockType)], asker: u64) -> Result<Vec<Presence>, Text> {
        self.blocks.have(names, asker).await
    }

    fn has_names(&self) -> bool {
        self.names.is_some()
    }

    async fn names(&self, question: Bytes) -> Result<Bytes, Text> {
        let names = self.names.ok_or_else(|| Text::new("permission denied: names are for peers"))?;
        match Question::parse(question)
            .ok_or_else(|| Text::new("a question about names that there is not"))?
        {
            Question::Digest(known) => Ok(self.book(names).answer(known)),
            Question::Heap(heap, from) => Ok(self.book(names).piece(heap, from)),
            Question::Give(text) => {
                names.merge(&text, self.clock.wall()).await.map_err(Text::new)?;
                Ok(Bytes::new())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Book, HEAPS, Question, SHORT_LEN, parse_digest};
    use bytes::Bytes;
    use proptest::prelude::*;
    use std::format;
    use std::string::String;
    use std::vec::Vec;
    use storage::names::Names;
    use storage::score::Score;

    fn book(numbers: impl IntoIterator<Item = u32>) -> Book {
        let line = |number: u32| {
            format!("scorename=barn.{number} rootscore=vac:{} user=iris\n", Score::of(&number.to_le_bytes()))
        };
        Book::new(&Names::parse(numbers.into_iter().map(line).collect::<String>().as_bytes()))
    }

    #[test]
    fn the_order_of_records_does_not_matter_and_one_more_changes_one_heap() {
        let (one, other, more) = (book(0..1000), book((0..1000).rev()), book(0..1001));
        assert_eq!(one.digest, other.digest);
        assert!(one.differing(&other.hashes()).is_empty());
        assert_ne!(one.digest, more.digest);
        assert_eq!(one.differing(&more.hashes()).len(), 1);
        assert_eq!(one.answer(one.digest).len(), 20);
        let answer = one.answer(more.digest);
        let (digest, hashes) = parse_digest(&answer).unwrap();
        assert_eq!((digest, hashes.len()), (one.digest, HEAPS * SHORT_LEN));
    }

    #[test]
    fn pieces_of_a_heap_make_it_whole() {
        let one = book(0..100);
        let whole: Vec<u8> = (0..=255).flat_map(|heap| one.piece(heap, 0)).collect();
        assert!(Names::parse(&whole).len() == 100 && one.piece(3, u32::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn any_question_is_understood_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let bytes = Bytes::from(bytes);
            if let Some(question) = Question::parse(bytes.clone()) {
                prop_assert_eq!(question.encode(), bytes);
            }
            let _ = parse_digest(&[0; 7]);
        }
    }
}
