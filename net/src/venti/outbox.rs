//! What waits to be sent on a connection: frames packed into large writes, large lumps beside them uncopied.

use super::Version;
use super::message::Tagged;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;

/// A packed chunk takes no more frames beyond this many bytes.
const PACKED_ENOUGH: usize = 64 * 1024;

enum Chunk {
    Packed(Vec<u8>),
    Lump(Bytes),
}

/// One write's worth of bytes, and how many messages end in it.
pub(super) struct Batch {
    chunk: Chunk,
    /// Messages whose last byte is in this batch.
    pub(super) messages: usize,
}

impl Batch {
    /// What to send.
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.chunk {
            Chunk::Packed(bytes) => bytes,
            Chunk::Lump(lump) => lump,
        }
    }
}

/// The queue of one connection's writer.
pub(super) struct Outbox {
    batches: VecDeque<Batch>,
    spare: Vec<u8>,
    coalesce: usize,
}

impl Outbox {
    /// Lumps up to `coalesce` bytes are copied next to their headers; longer ones are sent from where they
    /// are.
    pub(super) fn new(coalesce: usize) -> Outbox {
        Outbox { batches: VecDeque::new(), spare: Vec::new(), coalesce }
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Appends a line or anything else that is no message.
    pub(super) fn push_raw(&mut self, bytes: &[u8]) {
        self.packed().0.extend_from_slice(bytes);
    }

    /// Appends a message; returns its length in bytes.
    pub(super) fn push(&mut self, tagged: &Tagged, version: Version) -> usize {
        let coalesce = self.coalesce;
        let (packed, messages) = self.packed();
        let before = packed.len();
        let lump = tagged.encode(version, packed).unwrap_or_default();
        let header = packed.len() - before;
        if lump.len() <= coalesce {
            packed.extend_from_slice(&lump);
            *messages += 1;
            return header + lump.len();
        }
        let length = header + lump.len();
        self.batches.push_back(Batch { chunk: Chunk::Lump(lump), messages: 1 });
        length
    }

    /// The next bytes to send. Give the batch back with [`Outbox::sent`].
    pub(super) fn take(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// Keeps the memory of a batch that was sent.
    pub(super) fn sent(&mut self, batch: Batch) {
        if let Chunk::Packed(mut bytes) = batch.chunk {
            bytes.clear();
            self.spare = bytes;
        }
    }

    fn packed(&mut self) -> (&mut Vec<u8>, &mut usize) {
        let full =
            |batch: &Batch| !matches!(&batch.chunk, Chunk::Packed(bytes) if bytes.len() < PACKED_ENOUGH);
        if self.batches.back().is_none_or(full) {
            let chunk = Chunk::Packed(core::mem::take(&mut self.spare));
            self.batches.push_back(Batch { chunk, messages: 0 });
        }
        match self.batches.back_mut() {
            Some(Batch { chunk: Chunk::Packed(bytes), messages }) => (bytes, messages),
            _ => unreachable!("a packed batch was just put at the end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venti::message::Message;

    fn rread(length: usize) -> Tagged {
        Tagged { tag: 1, message: Message::Rread(Bytes::from(std::vec![7; length])) }
    }

    #[test]
    fn packs_small_lumps_and_leaves_large_ones_where_they_are() {
        let mut outbox = Outbox::new(100);
        for length in [100, 101, 0] {
            assert_eq!(outbox.push(&rread(length), Version::V04), length + 6);
        }
        let mut shape = Vec::new();
        while let Some(batch) = outbox.take() {
            shape.push((batch.bytes().len(), batch.messages));
            outbox.sent(batch);
        }
        assert_eq!(shape, [(106 + 6, 1), (101, 1), (6, 1)]);
        assert!(outbox.is_empty() && outbox.spare.capacity() > 0);
    }

    #[test]
    fn a_batch_ends_when_it_is_large_enough() {
        let mut outbox = Outbox::new(8192);
        for _ in 0..20 {
            outbox.push(&rread(8192), Version::V04);
        }
        let batch = outbox.take().unwrap();
        assert!((PACKED_ENOUGH..PACKED_ENOUGH + 8198).contains(&batch.bytes().len()));
        assert_eq!(batch.messages, 8);
    }
}
