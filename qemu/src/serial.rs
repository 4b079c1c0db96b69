//! The guest's serial line, collected as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// At most this much console is kept; a guest that floods its console does not flood this process.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// What came over the serial line, and from QEMU's own standard error.
#[derive(Clone, Default)]
pub struct Serial {
    text: Arc<Mutex<String>>,
    echo: Arc<AtomicBool>,
}

impl Serial {
    /// Collects both streams until they end.
    pub fn capture(
        out: Option<impl Read + Send + 'static>,
        err: Option<impl Read + Send + 'static>,
    ) -> Serial {
        let serial = Serial::default();
        if let Some(out) = out {
            serial.follow(out, "");
        }
        if let Some(err) = err {
            serial.follow(err, "qemu: ");
        }
        serial
    }

    /// All that came so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on every line is shown as it comes.
    pub fn echo(&self) {
        self.echo.store(true, Ordering::Relaxed);
    }

    fn follow(&self, stream: impl Read + Send + 'static, prefix: &'static str) {
        let serial = self.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(lines.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                serial.take(prefix, &String::from_utf8_lossy(&line));
                line.clear();
            }
        });
    }

    fn take(&self, prefix: &str, line: &str) {
        let line = line.replace('\r', "");
        if self.echo.load(Ordering::Relaxed) {
            print!("{prefix}{line}");
        }
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < TEXT_BYTES_MAX {
            text.push_str(prefix);
            text.push_str(&line);
        }
    }
}
