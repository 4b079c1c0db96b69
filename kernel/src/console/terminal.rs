//! The log on a screen: letters in rows, the last ones at the bottom.
//!
//! Knows letters and pixels. Must not know lines' meaning. What should stand on the screen and what does stand there are kept apart:
//! drawing goes on in small steps, as a screen's memory is slow, and never reads from it.

use crate::boot_info::screen::Screen;
use crate::memory::mmio::Registers;
use alloc::vec::Vec;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const HEIGHT: RasterHeight = RasterHeight::Size16;
const WEIGHT: FontWeight = FontWeight::Regular;
/// Stands for what the font does not have.
const UNKNOWN: u8 = b'?';
/// In what is shown: nobody knows what stands there.
const UNDRAWN: u8 = 0;

/// A screen with letters on it.
pub(super) struct Terminal {
    pixels: Registers,
    pitch: usize,
    columns: usize,
    rows: usize,
    /// What should stand there, row by row from the top.
    wanted: Vec<u8>,
    /// What was drawn.
    shown: Vec<u8>,
    /// Letters in the last row; a full one ends when another letter comes.
    filled: usize,
    /// Where to look for the next letter to draw.
    next: usize,
}

impl Terminal {
    /// A terminal on `screen`, whose memory is `pixels`. None if it has no room for a letter.
    pub(super) fn new(screen: &Screen, pixels: Registers) -> Option<Terminal> {
        let columns = screen.width as usize / get_raster_width(WEIGHT, HEIGHT);
        let rows = screen.height as usize / HEIGHT.val();
        let cells = columns * rows;
        if cells == 0 || pixels.len() < screen.len() {
            return None;
        }
        for offset in (0..screen.len()).step_by(4) {
            pixels.write32(offset, 0);
        }
        let pitch = screen.pitch as usize;
        let (wanted, shown) = (alloc::vec![b' '; cells], alloc::vec![b' '; cells]);
        Some(Terminal { pixels, pitch, columns, rows, wanted, shown, filled: 0, next: 0 })
    }

    /// Adds text at the bottom; it is not drawn yet.
    pub(super) fn put(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '\n' => self.end_row(),
                '\r' => {}
                ' '..='~' => self.put_letter(letter as u8),
                _ => self.put_letter(UNKNOWN),
            }
        }
    }

    fn put_letter(&mut self, letter: u8) {
        if self.filled == self.columns {
            self.end_row();
        }
        let at = (self.rows - 1) * self.columns + self.filled;
        self.wanted[at] = letter;
        self.filled += 1;
    }

    fn end_row(&mut self) {
        self.wanted.copy_within(self.columns.., 0);
        let last = self.wanted.len() - self.columns;
        self.wanted[last..].fill(b' ');
        self.filled = 0;
    }

    /// Whether the screen shows all of it.
    pub(super) fn is_drawn(&self) -> bool {
        self.wanted == self.shown
    }

    /// Draws at most so many letters.
    pub(super) fn draw(&mut self, letters: usize) {
        let cells = self.wanted.len();
        let mut left = letters;
        for step in 0..cells {
            let cell = (self.next + step) % cells;
            if self.wanted[cell] == self.shown[cell] {
                continue;
            }
            if left == 0 {
                self.next = cell;
                return;
            }
            left -= 1;
            self.draw_cell(cell);
        }
    }

    /// Draws all that is not drawn.
    pub(super) fn draw_all(&mut self) {
        self.draw(usize::MAX);
    }

    /// Draws everything again: whatever stands there is not ours.
    pub(super) fn forget(&mut self) {
        self.shown.fill(UNDRAWN);
    }

    fn draw_cell(&mut self, cell: usize) {
        let letter = self.wanted[cell];
        self.shown[cell] = letter;
        let Some(raster) = get_raster(char::from(letter), WEIGHT, HEIGHT) else { return };
        let (row, column) = (cell / self.columns, cell % self.columns);
        let corner = row * HEIGHT.val() * self.pitch + column * raster.width() * 4;
        for (line, lights) in raster.rows().enumerate() {
            for (dot, light) in lights.iter().enumerate() {
                // Grey: the same in every order of colours.
                let pixel = u32::from_le_bytes([*light, *light, *light, 0]);
                self.pixels.write32(corner + line * self.pitch + dot * 4, pixel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_info::screen::PixelFormat;
    use core::ptr::NonNull;
    use std::string::String;

    const WIDE: usize = 5;
    const HIGH: usize = 3;

    /// Room for five letters by three, three pixels more to the right, and a line that no letter reaches.
    struct Memory {
        dots: Vec<u32>,
        screen: Screen,
    }

    impl Memory {
        fn new() -> Memory {
            let width = WIDE * get_raster_width(WEIGHT, HEIGHT);
            let (pitch, height) = ((width + 3) * 4, HIGH * HEIGHT.val() + 1);
            let screen = Screen {
                address: 0x1000,
                pitch: pitch as u32,
                width: width as u32,
                height: height as u32,
                format: PixelFormat::Bgr,
            };
            Memory { dots: alloc::vec![0xdead_beef; screen.len() / 4], screen }
        }

        fn terminal(&mut self) -> Terminal {
            let start = NonNull::new(self.dots.as_mut_ptr()).unwrap().cast();
            // SAFETY: ordinary memory stands in for a screen's, and outlives the terminal.
            let pixels = unsafe { Registers::new(start, self.screen.len()) };
            Terminal::new(&self.screen, pixels).unwrap()
        }

        /// What can be read on the screen.
        fn rows(&self) -> Vec<String> {
            let row = |row| (0..WIDE).map(|column| self.letter(row, column)).collect();
            (0..HIGH).map(row).collect()
        }

        fn letter(&self, row: usize, column: usize) -> char {
            let pitch = self.screen.pitch as usize / 4;
            let width = get_raster_width(WEIGHT, HEIGHT);
            let shows = |letter: &char| {
                let raster = get_raster(*letter, WEIGHT, HEIGHT).unwrap();
                raster.rows().enumerate().all(|(line, lights)| {
                    let at = (row * HEIGHT.val() + line) * pitch + column * width;
                    lights
                        .iter()
                        .zip(&self.dots[at..])
                        .all(|(light, dot)| *dot == u32::from(*light) * 0x01_0101)
                })
            };
            (' '..='~').find(shows).unwrap_or('#')
        }
    }

    fn check(text: &str, rows: [&str; HIGH]) {
        let mut memory = Memory::new();
        let mut terminal = memory.terminal();
        terminal.put(text);
        terminal.draw_all();
        assert!(terminal.is_drawn());
        assert_eq!(memory.rows(), rows, "{text:?}");
    }

    #[test]
    fn the_last_rows_stand_at_the_bottom() {
        check("", ["     ", "     ", "     "]);
        check("one\r\ntwo", ["     ", "one  ", "two  "]);
        check("a\nb\nc\nd\n", ["c    ", "d    ", "     "]);
        check("12345", ["     ", "     ", "12345"]);
        check("1234567", ["     ", "12345", "67   "]);
        check("é\u{7}", ["     ", "     ", "??   "]);
    }

    #[test]
    fn drawing_goes_on_in_steps_until_nothing_is_left() {
        let mut memory = Memory::new();
        let mut terminal = memory.terminal();
        terminal.put("abc");
        terminal.draw(2);
        assert!(!terminal.is_drawn());
        assert_eq!(memory.rows()[2], "ab   ");
        terminal.put("\nde");
        for _ in 0..5 {
            terminal.draw(1);
        }
        assert!(terminal.is_drawn());
        assert_eq!(memory.rows(), ["     ", "abc  ", "de   "]);
    }

    #[test]
    fn what_others_have_drawn_over_is_drawn_again() {
        let mut memory = Memory::new();
        let mut terminal = memory.terminal();
        terminal.put("x");
        terminal.draw_all();
        memory.dots.fill(7);
        terminal.forget();
        terminal.draw_all();
        assert_eq!(memory.rows(), ["     ", "     ", "x    "]);
    }

    #[test]
    fn a_screen_without_room_for_a_letter_is_none() {
        let mut memory = Memory::new();
        memory.screen.height = HEIGHT.val() as u32 - 1;
        let start = NonNull::new(memory.dots.as_mut_ptr()).unwrap().cast();
        // SAFETY: as in `terminal`.
        let pixels = unsafe { Registers::new(start, memory.screen.len()) };
        assert!(Terminal::new(&memory.screen, pixels).is_none());
    }
}
