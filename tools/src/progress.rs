//! What a person sees while long work runs: a bar on standard error, and notes above it.
//!
//! Hidden where nobody looks (standard error is no terminal, or output is for machines); notes are always printed.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// One piece of long work under way. Cheap to clone; all clones move one bar.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar over `total` bytes with rate and time left; `None` where the total is not known yet.
    pub fn bytes(what: &'static str, total: Option<u64>) -> Progress {
        const KNOWN: &str =
            "{prefix} [{bar:30}] {bytes}/{total_bytes} {binary_bytes_per_sec} {eta} {wide_msg}";
        const UNKNOWN: &str = "{prefix} {spinner} {bytes} {binary_bytes_per_sec} {wide_msg}";
        Self::new(what, total, if total.is_some() { KNOWN } else { UNKNOWN })
    }

    /// A bar over `total` things that are counted; `None` where the total is not known yet.
    pub fn items(what: &'static str, total: Option<u64>) -> Progress {
        const KNOWN: &str = "{prefix} [{bar:30}] {human_pos}/{human_len} {per_sec} {eta} {wide_msg}";
        const UNKNOWN: &str = "{prefix} {spinner} {human_pos} {per_sec} {wide_msg}";
        Self::new(what, total, if total.is_some() { KNOWN } else { UNKNOWN })
    }

    /// Nothing to see; notes still come through.
    pub fn hidden() -> Progress {
        Progress { bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) }
    }

    fn new(what: &'static str, total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
        bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(what);
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar }
    }

    /// So much more is done.
    pub fn advance(&self, amount: u64) {
        self.bar.inc(amount);
    }

    /// There is so much to do, as is known now.
    pub fn expect(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Shows what is being worked on.
    pub fn show(&self, current: impl Into<String>) {
        if !self.bar.is_hidden() {
            self.bar.set_message(current.into());
        }
    }

    /// How much is done.
    pub fn done(&self) -> u64 {
        self.bar.position()
    }

    /// Prints a line on standard error without tearing the bar.
    pub fn note(&self, line: impl AsRef<str>) {
        self.bar.suspend(|| eprintln!("{}", line.as_ref()));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_count_together() {
        let progress = Progress::hidden();
        progress.clone().advance(3);
        progress.advance(4);
        progress.show("something");
        assert_eq!(progress.done(), 7);
        progress.finish();
    }

    #[test]
    fn every_template_is_one_that_indicatif_understands() {
        for total in [None, Some(9)] {
            Progress::bytes("reading", total).finish();
            Progress::items("files", total).finish();
        }
        let keys = "{binary_bytes_per_sec} {human_pos} {human_len} {wide_msg} {eta} {per_sec}";
        assert!(ProgressStyle::with_template(keys).is_ok());
    }
}
