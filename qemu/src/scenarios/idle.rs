//! An idle machine halts.

use super::Bench;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// The largest share of a host's processor that an idle node may use.
const SHARE_MAX: f64 = 0.05;

/// Measures processor time of QEMU while nobody asks for anything.
pub fn halts(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let node = bench.node(&disk)?;
    let machine = node.boot()?;
    // Let what follows a start (translation, neighbour discovery) pass.
    std::thread::sleep(Duration::from_secs(5));
    let (before, began) = (machine.processor_time()?, Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let used = machine.processor_time()?.saturating_sub(before).as_secs_f64();
    let share = used / began.elapsed().as_secs_f64();
    println!("  idle: {:.1} % of a processor", 100.0 * share);
    ensure!(share < SHARE_MAX, "an idle node uses {:.1} % of a processor", 100.0 * share);
    node.stop(machine)
}
