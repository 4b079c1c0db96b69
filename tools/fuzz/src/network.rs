//! Frames from a network card that shares the work on checksums.

use crate::Input;
use net::tcp::offload;

/// Where a card says that a sum was left open (two numbers), then the frame.
pub fn frame_sums(data: &[u8]) {
    let mut input = Input(data);
    let (start, offset) = (input.short(), input.short());
    let frame = input.0;
    let sound = offload::is_sound(frame);

    let mut completed = frame.to_vec();
    if offload::complete(&mut completed, start, offset) {
        let at = usize::from(start) + usize::from(offset);
        assert_only(frame, &completed, at);
    } else {
        assert_eq!(completed, frame, "refused, and changed all the same");
    }

    let mut left = frame.to_vec();
    let Some(partial) = offload::leave_to_card(&mut left) else {
        assert_eq!(left, frame, "nothing was left, and something changed");
        return;
    };
    let at = usize::from(partial.start) + usize::from(partial.offset);
    assert!(at + 2 <= usize::from(partial.headers) && usize::from(partial.headers) <= frame.len());
    assert_only(frame, &left, at);
    // The sum in place again: as good or bad as it was.
    left[at..at + 2].copy_from_slice(&frame[at..at + 2]);
    assert_eq!(offload::is_sound(&left), sound);
}

/// Nothing but the two bytes at `at` may differ.
fn assert_only(before: &[u8], after: &[u8], at: usize) {
    let differs = before.iter().zip(after).enumerate().filter(|(_, (before, after))| before != after);
    assert!(differs.into_iter().all(|(place, _)| place == at || place == at + 1), "another byte was changed");
}
