//! How much memory a node uses, as its status lines say, and whether it goes back to where it was.

use crate::machine::Machine;
use anyhow::{Context, Result, bail};
use std::time::{Duration, Instant};

/// What a node must be told for this: a status line each second.
pub const SETTING: &str = "status=1";

/// Heap that may stay behind: lists that have grown keep their room. A hundredth of what a single attack moves.
const SLACK_BYTES: u64 = 1 << 20;
/// By then every patience that the node has with its peers is over.
const SETTLE_LIMIT: Duration = Duration::from_secs(100);

/// The figures of a status line.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Heap without caches and sockets' buffers.
    pub heap: u64,
    /// Sockets of any kind, the one that listens included.
    pub sockets: u64,
    /// Bytes of sockets' buffers.
    pub buffers: u64,
}

/// The figures of the next status line.
pub fn next(machine: &Machine, mut meanwhile: impl FnMut()) -> Result<Memory> {
    let old = machine.console().len();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        // Whole lines alone: the last one may still be on its way.
        let console = machine.console();
        let fresh = console.get(old..).unwrap_or_default().rsplit_once('\n').map_or("", |(lines, _)| lines);
        if let Some(line) = fresh.lines().find(|line| line.contains("status: up=")) {
            return parse(line);
        }
        if Instant::now() > deadline {
            bail!("no status line within a minute; console:\n{console}");
        }
        meanwhile();
    }
}

/// Waits until the node uses no more memory than `before`. What it holds for peers that misbehave comes back when its
/// patience with them ends, and how soon that is depends on the host; so this waits as long as it takes, up to a limit that
/// only memory that never comes back can reach.
pub fn settles(machine: &Machine, before: Memory, mut meanwhile: impl FnMut()) -> Result<Memory> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let now = next(machine, &mut meanwhile)?;
        if now.heap <= before.heap + SLACK_BYTES && now.sockets <= before.sockets {
            return Ok(now);
        }
        if Instant::now() > deadline {
            bail!("memory does not come back: {before:?} before, {now:?} after {SETTLE_LIMIT:?} of quiet");
        }
    }
}

fn parse(line: &str) -> Result<Memory> {
    let figure = |name: &str| -> Result<u64> {
        let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
        word.and_then(|figure| figure.parse().ok()).with_context(|| format!("no {name} in {line:?}"))
    };
    Ok(Memory { heap: figure("heap=")?, sockets: figure("sockets=")?, buffers: figure("buffers=")? })
}
