//! Size classes of the heap: four per power of two, from 16 bytes to 32 KiB.
//!
//! Knows arithmetic only.

use super::frames::FRAME_LEN;

/// How many classes there are.
pub const CLASSES: usize = 40;
/// The largest size that has a class; larger allocations are whole frames.
pub const LARGEST: usize = 32 * 1024;

const SMALLEST_SHIFT: u32 = 6;

/// The class of an allocation of `size` bytes at a multiple of `align`, or none if it is to be whole frames.
pub fn class_for(size: usize, align: usize) -> Option<usize> {
    let natural = class_of_size(size.max(1))?;
    (natural..CLASSES).find(|&class| alignment_of(class) >= align)
}

/// Bytes in an object of `class`.
pub fn class_size(class: usize) -> usize {
    if class < 4 {
        return 16 * (class + 1);
    }
    let shift = SMALLEST_SHIFT + ((class - 4) / 4) as u32;
    (1 << shift) + ((class - 4) % 4 + 1) * (1 << (shift - 2))
}

/// Bytes taken at once for objects of `class`: whole frames, at least eight objects up to 64 KiB.
pub fn chunk_len(class: usize) -> usize {
    (class_size(class) * 8).next_multiple_of(FRAME_LEN).min(2 * LARGEST)
}

/// What every object of `class` is aligned to, chunks being aligned to frames.
fn alignment_of(class: usize) -> usize {
    (1 << class_size(class).trailing_zeros()).min(FRAME_LEN)
}

fn class_of_size(size: usize) -> Option<usize> {
    if size > LARGEST {
        return None;
    }
    if size <= 64 {
        return Some((size - 1) / 16);
    }
    let shift = (size - 1).ilog2();
    let step = ((size - 1) - (1 << shift)) >> (shift - 2);
    Some(4 + 4 * (shift - SMALLEST_SHIFT) as usize + step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_the_smallest_class_that_holds_it() {
        for size in 1..=LARGEST {
            let class = class_for(size, 1).unwrap();
            assert!(class_size(class) >= size, "{size}");
            assert!(class == 0 || class_size(class - 1) < size, "{size}");
        }
        assert_eq!(class_for(LARGEST + 1, 1), None);
        assert_eq!(class_size(CLASSES - 1), LARGEST);
    }

    #[test]
    fn objects_are_aligned_wherever_they_lie_in_a_chunk() {
        for align in (0..=12).map(|shift| 1 << shift) {
            for size in [1, 17, 65, 100, 1025, 4097, 20_000] {
                let class = class_for(size, align).unwrap();
                assert!(class_size(class) >= size && class_size(class).is_multiple_of(align));
            }
        }
        assert_eq!(class_for(64, 8192), None);
    }

    #[test]
    fn chunks_are_whole_frames_and_hold_at_least_two() {
        for class in 0..CLASSES {
            assert!(chunk_len(class).is_multiple_of(FRAME_LEN) && chunk_len(class) >= 2 * class_size(class));
        }
    }
}
