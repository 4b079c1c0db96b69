//! The log's last bytes, in memory that a restart leaves as it is: what a run that ended badly has said is read by the next one.
//!
//! A ring of bytes behind a header. The header counts the bytes ever written, and has a sum over all that stand in the ring, in
//! which each counts by its place, so that one more byte changes it in one step. Memory that lost its content, or that firmware
//! has used, does not match its header, and nothing is shown of it. Must not know who logs, nor why a run ended.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// "gran kept", and a version.
const MAGIC: u64 = 0x6772_616e_6b65_7031;
const HEADER_LEN: usize = 64;
/// Bytes of a processor's cache line, at least.
const LINE_LEN: usize = 64;

const MAGIC_AT: usize = 0;
const WRITTEN_AT: usize = 8;
const SUM_AT: usize = 16;
const CLEAN_AT: usize = 24;
const CHECK_AT: usize = 32;

/// Memory that holds a log.
pub(crate) struct Kept {
    region: &'static mut [u8],
    written: u64,
    sum: u64,
    /// 1 once the run has ended as it should.
    clean: u64,
}

/// What one byte at a place adds to the sum.
fn weight(place: usize, byte: u8) -> u64 {
    u64::from(byte).wrapping_mul(place as u64 + 1)
}

fn word(region: &[u8], at: usize) -> u64 {
    region.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Over the header, and how long the memory is: a shorter piece of it is not the same log.
fn check(written: u64, sum: u64, clean: u64, region_len: usize) -> u64 {
    let words =
        MAGIC ^ written.rotate_left(13) ^ sum.rotate_left(29) ^ clean ^ (region_len as u64).rotate_left(43);
    words.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The last bytes of the run before, if it did not end cleanly and they are whole.
fn last(region: &[u8]) -> Option<Vec<u8>> {
    let ring = region.get(HEADER_LEN..).filter(|ring| !ring.is_empty())?;
    let (written, sum, clean) = (word(region, WRITTEN_AT), word(region, SUM_AT), word(region, CLEAN_AT));
    let is_ours =
        word(region, MAGIC_AT) == MAGIC && word(region, CHECK_AT) == check(written, sum, clean, region.len());
    let now =
        ring.iter().enumerate().fold(0_u64, |sum, (place, byte)| sum.wrapping_add(weight(place, *byte)));
    if !is_ours || now != sum || clean != 0 {
        return None;
    }
    let len = written.min(ring.len() as u64) as usize;
    let end = (written % ring.len() as u64) as usize;
    let (newer, older) = ring.split_at(end);
    let text = [older, newer].concat();
    Some(text[text.len() - len..].to_vec())
}

impl Kept {
    /// Takes over the memory: what the run before left there, and the log of this one, which is empty.
    pub(crate) fn begin(region: &'static mut [u8]) -> (Kept, Option<Vec<u8>>) {
        let last = last(region);
        region.fill(0);
        let mut kept = Kept { region, written: 0, sum: 0, clean: 0 };
        kept.write_header();
        flush(kept.region, 0..kept.region.len());
        (kept, last)
    }

    /// One more piece of log.
    pub(crate) fn put(&mut self, text: &[u8]) {
        let len = self.region.len().saturating_sub(HEADER_LEN);
        if len == 0 {
            return;
        }
        let mut touched = HEADER_LEN..HEADER_LEN;
        for byte in text {
            let place = (self.written % len as u64) as usize;
            let at = HEADER_LEN + place;
            let old = core::mem::replace(&mut self.region[at], *byte);
            self.sum = self.sum.wrapping_sub(weight(place, old)).wrapping_add(weight(place, *byte));
            self.written += 1;
            if at != touched.end {
                flush(self.region, touched);
                touched = at..at;
            }
            touched.end = at + 1;
        }
        flush(self.region, touched);
        self.write_header();
    }

    /// This run ends as it should: the next one has nothing to tell of it.
    pub(crate) fn close(&mut self) {
        self.clean = 1;
        self.write_header();
    }

    fn write_header(&mut self) {
        let check = check(self.written, self.sum, self.clean, self.region.len());
        let words = [MAGIC, self.written, self.sum, self.clean, check];
        let places = [MAGIC_AT, WRITTEN_AT, SUM_AT, CLEAN_AT, CHECK_AT];
        for (at, word) in places.into_iter().zip(words) {
            if let Some(place) = self.region.get_mut(at..at + 8) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        flush(self.region, 0..HEADER_LEN);
    }
}

impl fmt::Write for Kept {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put(text.as_bytes());
        Ok(())
    }
}

/// From the processor's caches to memory: a reset forgets them.
fn flush(region: &[u8], range: Range<usize>) {
    let first = range.start - range.start % LINE_LEN;
    for at in (first..range.end.min(region.len())).step_by(LINE_LEN) {
        // SAFETY: it writes back a line of memory that is ours, and changes nothing.
        unsafe { core::arch::x86_64::_mm_clflush(region.as_ptr().wrapping_add(at)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::format;

    const LEN: usize = HEADER_LEN + 100;

    /// What stays of a run that has said this.
    fn after(said: &[&str]) -> Vec<u8> {
        let memory = Box::leak(std::vec![0xee; LEN].into_boxed_slice());
        let (mut kept, last) = Kept::begin(memory);
        assert_eq!(last, None, "what stood there is no log");
        said.iter().for_each(|text| kept.put(text.as_bytes()));
        kept.region.to_vec()
    }

    #[test]
    fn the_next_run_reads_what_the_last_one_has_said() {
        assert_eq!(last(&after(&[])), Some(Vec::new()));
        assert_eq!(last(&after(&["one\n", "two\n"])).unwrap(), b"one\ntwo\n");
        let said: Vec<_> = (0..40).map(|number| format!("line {number}\n")).collect();
        let said: Vec<&str> = said.iter().map(|line| line.as_str()).collect();
        let all = said.concat();
        assert_eq!(last(&after(&said)).unwrap(), &all.as_bytes()[all.len() - 100..]);
    }

    #[test]
    fn a_clean_end_leaves_nothing_to_tell() {
        let memory = Box::leak(std::vec![0; LEN].into_boxed_slice());
        let (mut kept, _) = Kept::begin(memory);
        kept.put(b"good bye");
        kept.close();
        assert_eq!(last(kept.region), None);
    }

    #[test]
    fn memory_that_has_changed_tells_nothing() {
        let memory = after(&["one line\n", "and another\n"]);
        for at in (0..CHECK_AT + 8).chain(HEADER_LEN..LEN) {
            let mut changed = memory.clone();
            changed[at] ^= 0x10;
            assert_eq!(last(&changed), None, "byte {at}");
        }
        for len in [0, 1, HEADER_LEN, LEN - 50] {
            assert_eq!(last(&memory[..len]), None, "{len} bytes");
        }
    }
}
