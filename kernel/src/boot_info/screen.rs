//! A screen that firmware has set up, as a loader describes it to the kernel.
//!
//! PVH has no field for one. It travels as a module (`hvm_modlist_entry`) of [`SCREEN_LEN`] bytes, little-endian, which
//! begins with [`MAGIC`]; whoever does not know it passes it by. Behind the magic: the address of the first pixel
//! (8 bytes), bytes from one line to the next, pixels in a line, lines, and the pixels' format (4 bytes each): 1 for
//! bytes red, green, blue, unused; 2 for blue, green, red, unused.

use super::{u32_at, u64_at};

/// What the description begins with.
pub const MAGIC: [u8; 8] = *b"GRscreen";
/// Bytes of a description.
pub const SCREEN_LEN: usize = 32;

/// No screen is larger; what says so is not one.
const SIDE_MAX: u32 = 32768;

/// A screen of pixels of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Physical address of its first pixel.
    pub address: u64,
    /// Bytes from one line to the next.
    pub pitch: u32,
    /// Pixels in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// The order of colours.
    pub format: PixelFormat,
}

/// The order of a pixel's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PixelFormat {
    /// Red, green, blue, unused.
    Rgb = 1,
    /// Blue, green, red, unused.
    Bgr = 2,
}

impl Screen {
    /// The description.
    pub fn encode(&self) -> [u8; SCREEN_LEN] {
        let mut bytes = [0; SCREEN_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.address.to_le_bytes());
        let numbers = [self.pitch, self.width, self.height, self.format as u32];
        for (number, place) in numbers.iter().zip(bytes[16..].as_chunks_mut().0) {
            *place = number.to_le_bytes();
        }
        bytes
    }

    /// The screen that `bytes` describe; none if they describe something else, or a screen that cannot be.
    pub fn parse(bytes: &[u8]) -> Option<Screen> {
        let format = match u32_at(bytes, 28) {
            1 => PixelFormat::Rgb,
            2 => PixelFormat::Bgr,
            _ => return None,
        };
        let [pitch, width, height] = [16, 20, 24].map(|at| u32_at(bytes, at));
        let sensible = [width, height].iter().all(|side| (1..=SIDE_MAX).contains(side));
        let screen = Screen { address: u64_at(bytes, 8), pitch, width, height, format };
        let whole = pitch >= width.saturating_mul(4) && pitch <= 4 * SIDE_MAX && pitch.is_multiple_of(4);
        let placed = screen.address.is_multiple_of(4) && screen.address != 0;
        (bytes.starts_with(&MAGIC) && sensible && whole && placed).then_some(screen)
    }

    /// Bytes from its first to its last pixel.
    pub fn len(&self) -> usize {
        self.pitch as usize * self.height as usize
    }

    /// Whether it has no pixel. None that was parsed is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen =
        Screen { address: 0xc000_0000, pitch: 5120, width: 1270, height: 800, format: PixelFormat::Bgr };

    #[test]
    fn what_a_loader_says_is_what_the_kernel_reads() {
        assert_eq!(Screen::parse(&SCREEN.encode()), Some(SCREEN));
    }

    #[test]
    fn what_is_no_screen_is_passed_by() {
        let refused = |change: fn(&mut [u8; SCREEN_LEN])| {
            let mut bytes = SCREEN.encode();
            change(&mut bytes);
            assert_eq!(Screen::parse(&bytes), None, "{bytes:?}");
        };
        refused(|bytes| bytes[0] ^= 1);
        refused(|bytes| bytes[8..16].fill(0));
        refused(|bytes| bytes[16..20].fill(0));
        refused(|bytes| bytes[20..24].fill(0));
        refused(|bytes| bytes[20..24].fill(0xff));
        refused(|bytes| bytes[24..28].fill(0x7f));
        refused(|bytes| bytes[28] = 3);
        assert_eq!(Screen::parse(&SCREEN.encode()[..20]), None);
    }
}
