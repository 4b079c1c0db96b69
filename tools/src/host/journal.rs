//! The log of this process: standard error, and its last lines in memory.

use log::{LevelFilter, Log, Metadata, Record};
use net::journal::{JOURNAL_LEN, Journal, Line, Stamp};
use std::sync::Mutex;
use std::time::SystemTime;

static JOURNAL: Mutex<Journal<JOURNAL_LEN>> = Mutex::new(Journal::new());

/// Least grave lines that are kept in memory.
const KEPT: LevelFilter = LevelFilter::Info;

struct Both(env_logger::Logger);

impl Log for Both {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= KEPT || self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.0.log(record);
        if record.level() <= KEPT {
            let micros = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
            let at = Stamp(u64::try_from(micros).unwrap_or(u64::MAX));
            if let Ok(mut journal) = JOURNAL.lock() {
                journal.push(at, record.level(), record.target(), &Line::new(*record.args()));
            }
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Messages as grave as `level` and graver go to standard error from now on.
pub fn start(level: LevelFilter) {
    let mut builder = env_logger::Builder::new();
    let logger = builder.filter_level(level).target(env_logger::Target::Stderr).build();
    if log::set_boxed_logger(Box::new(Both(logger))).is_ok() {
        log::set_max_level(level.max(KEPT));
    }
}

/// The last lines.
pub fn text() -> Vec<u8> {
    JOURNAL.lock().map(|journal| journal.text()).unwrap_or_default()
}
