//! What `granary bench` prints: a table for people, the same as JSON.

use super::content::Content;
use super::limits::{Limits, Share};
use super::measure::{Measured, Phase};
use std::fmt;

/// All measurements of a run.
#[derive(Debug, serde::Serialize)]
pub(super) struct Report {
    pub(super) host: String,
    pub(super) seed: u64,
    /// Blocks in each measurement.
    pub(super) blocks: usize,
    pub(super) content: Content,
    pub(super) limits: Limits,
    pub(super) rows: Vec<Row>,
}

/// One measurement.
#[derive(Debug, serde::Serialize)]
pub(super) struct Row {
    pub(super) phase: Phase,
    pub(super) size: usize,
    pub(super) connections: usize,
    pub(super) depth: usize,
    #[serde(flatten)]
    pub(super) measured: Measured,
    /// How near it came to what it could not be faster than.
    #[serde(rename = "share_of_limit")]
    pub(super) share: Option<Share>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { host, seed, blocks, limits, .. } = self;
        writeln!(f, "{host}: {blocks} blocks each, seed {seed}")?;
        writeln!(f, "{limits}")?;
        write!(
            f,
            "phase        bytes  conns  depth     MiB/s        /s    p50 µs    p99 µs    max µs   sync ms  of limit"
        )?;
        for Row { phase, size, connections, depth, measured, share } in &self.rows {
            let Measured { per_second, mib_per_second, p50_us, p99_us, max_us, .. } = measured;
            write!(
                f,
                "\n{phase:<11} {size:>6} {connections:>6} {depth:>6} {mib_per_second:>9.1} {per_second:>9.0}"
            )?;
            write!(f, " {p50_us:>9} {p99_us:>9} {max_us:>9} {:>9.1}", measured.sync_seconds * 1000.0)?;
            if let Some(Share { percent, limit }) = share {
                write!(f, "  {percent:>3.0}% {limit}")?;
            }
        }
        Ok(())
    }
}
