//! The stacks of a processor: one to work on, and one for each class of interrupts.
//!
//! Knows their layout: each has a page below it that is not mapped. They are never freed. Must not know who runs there.

use crate::arch::descriptors::STACKS as INTERRUPT_STACKS;
use crate::memory;
use alloc::alloc::alloc_zeroed;
use core::alloc::Layout;

const GUARD_LEN: usize = 4096;
const MAIN_LEN: usize = 64 * 1024;
const INTERRUPT_LEN: usize = 16 * 1024;
/// The interrupt stacks lie behind the one to work on.
const MAIN_END: usize = GUARD_LEN + MAIN_LEN;
const LEN: usize = MAIN_END + INTERRUPT_STACKS * (GUARD_LEN + INTERRUPT_LEN);

/// Stacks of one processor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stacks {
    start: usize,
}

impl Stacks {
    /// New ones; `None` if memory is short.
    pub(super) fn allocate() -> Option<Stacks> {
        let layout = Layout::from_size_align(LEN, GUARD_LEN).ok()?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc_zeroed(layout) }.expose_provenance();
        if start == 0 {
            return None;
        }
        let stacks = Stacks { start };
        for top in
            stacks.interrupt_tops().map(|top| top - INTERRUPT_LEN).into_iter().chain([start + GUARD_LEN])
        {
            // SAFETY: the page is ours, nothing lies in it, and it is never freed.
            unsafe { memory::forbid_page(top - GUARD_LEN) }.ok()?;
        }
        Some(stacks)
    }

    /// Where each interrupt stack ends.
    pub(super) fn interrupt_tops(&self) -> [usize; INTERRUPT_STACKS] {
        core::array::from_fn(|number| self.start + MAIN_END + (number + 1) * (GUARD_LEN + INTERRUPT_LEN))
    }

    /// Puts `word` on the stack to work on. Returns where it lies: after taking it, the stack is aligned for a call.
    pub(super) fn main_top(&self, word: usize) -> usize {
        let top = self.start + MAIN_END - 24;
        let place: *mut usize = core::ptr::with_exposed_provenance_mut(top);
        // SAFETY: the stack is ours, and nobody runs on it yet.
        unsafe { place.write(word) };
        top
    }

    /// All of them.
    pub(super) fn range(&self) -> (usize, usize) {
        (self.start, self.start + LEN)
    }
}

/// Where the stack ends that holds `address`, of those that begin at `start`.
pub(super) fn end_of(start: usize, address: usize) -> usize {
    match address.saturating_sub(start) {
        offset if offset < MAIN_END => start + MAIN_END,
        offset => {
            start
                + MAIN_END
                + ((offset - MAIN_END) / (GUARD_LEN + INTERRUPT_LEN) + 1) * (GUARD_LEN + INTERRUPT_LEN)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_lie_apart_and_end_where_they_say() {
        let stacks = Stacks { start: 0x10_0000 };
        let tops = stacks.interrupt_tops();
        assert!(tops.iter().all(|top| top.is_multiple_of(16)));
        assert_eq!(tops[0], 0x10_0000 + MAIN_END + GUARD_LEN + INTERRUPT_LEN);
        assert_eq!(stacks.range().1, tops[INTERRUPT_STACKS - 1]);
        for top in tops {
            assert_eq!(end_of(0x10_0000, top - 1), top);
            assert_eq!(end_of(0x10_0000, top - INTERRUPT_LEN), top);
        }
        assert_eq!(end_of(0x10_0000, 0x10_0000 + MAIN_END - 1), 0x10_0000 + MAIN_END);
    }
}
