//! The console: log lines out, on the serial port and on the screen if there is one; nothing in.
//!
//! Knows lines, their form, and that the port is slow. Must not know what is logged. Once tasks run, lines go to a buffer that
//! the executor empties as the port takes them, so that logging stalls nobody; what does not fit is counted, not waited for.

mod kept;
mod terminal;
mod uart;

use crate::boot_info::screen::Screen;
use crate::memory::{map_mmio, take_kept};
use crate::time;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;
use heapless::Deque;
use kept::Kept;
use log::{Level, LevelFilter, Log, Metadata, Record};
use net::clock::Instant;
use net::journal::{JOURNAL_LEN, Journal, Line, Stamp};
use spin::{Mutex, Once};
use terminal::Terminal;
use uart::Uart;

const BUFFER_LEN: usize = 32 * 1024;
/// How long the port takes to send what its queue holds: 16 bytes of 10 bits at 115200 bits a second.
const QUEUE_TIME: Duration = Duration::from_micros(1400);

/// Letters that are drawn while the port sends what its queue holds.
const LETTERS: usize = 128;

struct Console {
    uart: Option<Uart>,
    screen: Option<Terminal>,
    buffer: Deque<u8, BUFFER_LEN>,
    /// Lines go to the buffer, and somebody empties it.
    buffered: bool,
    /// Bytes that did not fit since the last that did.
    lost: u64,
}

static CONSOLE: Mutex<Console> =
    Mutex::new(Console { uart: None, screen: None, buffer: Deque::new(), buffered: false, lost: 0 });

/// The last lines, for whoever asks later.
static JOURNAL: Mutex<Journal<JOURNAL_LEN>> = Mutex::new(Journal::new());

/// Looks at the last lines.
pub(crate) fn with_journal<T>(look: impl FnOnce(&Journal<JOURNAL_LEN>) -> T) -> T {
    look(&JOURNAL.lock())
}

/// The log of this run, where the next one finds it.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
/// What the run before has said last, if it did not end cleanly.
static BEFORE: Once<Vec<u8>> = Once::new();

/// Such lines in the log.
const QUOTED: &str = " kernel::console: | ";
/// Lines of it on the console, and bytes in the file.
const LINES_BEFORE: usize = 64;
const BYTES_BEFORE: usize = 16 << 10;

/// Reads what the run before has left, and begins to leave the same. Needs memory.
pub fn keep() {
    let Some(memory) = take_kept() else { return };
    let (mut kept, before) = Kept::begin(memory);
    kept.put(&with_journal(Journal::text));
    *KEPT.lock() = Some(kept);
    let Some(before) = before.filter(|before| !before.is_empty()) else { return };
    let before = BEFORE.call_once(|| before[before.len().saturating_sub(BYTES_BEFORE)..].to_vec());
    let text = String::from_utf8_lossy(before);
    // What that run told of the one before it is not told again.
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(QUOTED)).collect();
    log::warn!("the run before this one ended without a clean stop; the last that it said:");
    lines[lines.len().saturating_sub(LINES_BEFORE)..].iter().for_each(|line| log::warn!("| {line}"));
}

/// This run ends as it should.
pub(crate) fn end_cleanly() {
    if let Some(kept) = &mut *KEPT.lock() {
        kept.close();
    }
}

/// The log as a file: what the run before has left, if it ended badly, and this one's last lines.
pub(crate) fn log_file() -> Vec<u8> {
    let mut file = Vec::new();
    if let Some(before) = BEFORE.get() {
        file.extend_from_slice(b"--- the run before this one, which ended without a clean stop:\n");
        file.extend_from_slice(before);
        file.extend_from_slice(b"\n--- this run:\n");
    }
    file.extend(with_journal(Journal::text));
    file
}

/// Finds the port and becomes the log's end. Lines above `level` are dropped.
pub fn init(level: LevelFilter) {
    CONSOLE.lock().uart = Uart::find();
    if log::set_logger(&Lines).is_ok() {
        log::set_max_level(level);
    }
}

/// From now on lines go to this screen, too; first those so far. Needs memory.
pub fn show_on(screen: &Screen) {
    let terminal = match map_mmio(screen.address, screen.len()) {
        Ok(pixels) => Terminal::new(screen, pixels),
        Err(error) => {
            log::warn!("no log on the screen: {error}");
            return;
        }
    };
    let Some(mut terminal) = terminal else { return };
    let so_far = with_journal(Journal::text);
    terminal.put(core::str::from_utf8(&so_far).unwrap_or_default());
    terminal.forget();
    terminal.draw_all();
    CONSOLE.lock().screen = Some(terminal);
    log::info!("the log is on the screen, too: {} by {} pixels", screen.width, screen.height);
}

/// From now on lines go to the buffer.
pub(crate) fn buffer_output() {
    CONSOLE.lock().buffered = true;
}

/// Sends what the port takes at once.
pub(crate) fn drain_some() {
    let mut console = CONSOLE.lock();
    if !console.buffer.is_empty() {
        console.drain_queue();
    }
    if let Some(screen) = &mut console.screen {
        screen.draw(LETTERS);
    }
}

/// When to look at the port again, if anything is left.
pub(crate) fn next_drain(now: Instant) -> Option<Instant> {
    let console = CONSOLE.lock();
    let is_drawn = console.screen.as_ref().is_none_or(Terminal::is_drawn);
    (!console.buffer.is_empty() || !is_drawn).then(|| now.plus(QUEUE_TIME))
}

/// Sends all that is left, waiting for the port: before the machine stops.
pub fn flush() {
    let mut console = CONSOLE.lock();
    console.flush();
}

/// A console for the last words: waits for the port, takes no lock for good. What was in the buffer goes first.
pub(crate) fn emergency() -> impl Write {
    if let Some(mut console) = CONSOLE.try_lock() {
        console.flush();
        return Emergency { uart: console.uart, screen: console.screen.take() };
    }
    Emergency { uart: Uart::find(), screen: None }
}

impl Console {
    fn drain_queue(&mut self) {
        let Some(uart) = self.uart else {
            self.buffer.clear();
            return;
        };
        let room = uart.room();
        for _ in 0..room {
            match self.buffer.pop_front() {
                Some(byte) => uart.send(byte),
                None => return,
            }
        }
    }

    fn flush(&mut self) {
        while let Some(byte) = self.buffer.pop_front() {
            if let Some(uart) = self.uart {
                uart.send_waiting(byte);
            }
        }
        if let Some(screen) = &mut self.screen {
            screen.draw_all();
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(kept) = &mut *KEPT.lock() {
            kept.put(text.as_bytes());
        }
        if let Some(screen) = &mut self.screen {
            screen.put(text);
        }
        for byte in text.bytes().flat_map(with_return) {
            if self.buffered {
                self.lost += u64::from(self.buffer.push_back(byte).is_err());
            } else if let Some(uart) = self.uart {
                uart.send_waiting(byte);
            }
        }
        Ok(())
    }
}

/// A terminal wants a carriage return before each line feed.
fn with_return(byte: u8) -> impl Iterator<Item = u8> {
    (byte == b'\n').then_some(b'\r').into_iter().chain([byte])
}

struct Emergency {
    uart: Option<Uart>,
    screen: Option<Terminal>,
}

impl Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(Some(kept)) = KEPT.try_lock().as_deref_mut() {
            kept.put(text.as_bytes());
        }
        for byte in text.bytes().flat_map(with_return) {
            if let Some(uart) = self.uart {
                uart.send_waiting(byte);
            }
        }
        if let Some(screen) = &mut self.screen {
            screen.put(text);
            screen.draw_all();
        }
        Ok(())
    }
}

/// The log's end.
struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => "ERROR",
            Level::Warn => "warn ",
            Level::Info => "info ",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let at = time::now().micros;
        let (seconds, micros, module) = (at / 1_000_000, at % 1_000_000, record.target());
        let line = Line::new(*record.args());
        JOURNAL.lock().push(Stamp(time::wall_micros()), record.level(), module, &line);
        let mut console = CONSOLE.lock();
        if console.lost > 0 && console.buffer.len() < BUFFER_LEN / 2 {
            let lost = core::mem::take(&mut console.lost);
            // Neither line can fail: what does not fit is counted.
            let _ = writeln!(console, "… {lost} bytes of log lost: the console is slower than the log");
        }
        let _ = writeln!(console, "{seconds:5}.{micros:06} {level} {module}: {}", line.as_str());
        if let (false, Some(screen)) = (console.buffered, &mut console.screen) {
            screen.draw_all();
        }
    }

    fn flush(&self) {
        flush();
    }
}
