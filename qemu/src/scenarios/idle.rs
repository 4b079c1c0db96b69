//! An idle machine halts.

use super::Bench;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// The largest share of a host's processor that an idle node may use.
const SHARE_MAX: f64 = 0.05;
/// How long it is watched at a time, and how often.
const STRETCH: Duration = Duration::from_secs(5);
const STRETCHES_MAX: usize = 8;

/// Measures processor time of QEMU while nobody asks for anything.
pub fn halts(bench: &Bench) -> Result<()> {
    let disk = bench.image("1G", &[])?;
    let mut node = bench.node(&disk)?;
    // Those that only work when they are asked must halt, too.
    node.spec.processors = 4;
    let machine = node.boot()?;
    // What follows a start (translation, neighbour discovery) passes, and so does a busy moment of the host, which makes the
    // same work take longer: one quiet stretch shows that the machine halts, and a machine that spins has none.
    let mut least = f64::INFINITY;
    for _ in 0..STRETCHES_MAX {
        let (before, began) = (machine.processor_time()?, Instant::now());
        std::thread::sleep(STRETCH);
        let used = machine.processor_time()?.saturating_sub(before).as_secs_f64();
        least = least.min(used / began.elapsed().as_secs_f64());
        if least < SHARE_MAX {
            break;
        }
    }
    println!("  idle: {:.1} % of a processor", 100.0 * least);
    ensure!(least < SHARE_MAX, "an idle node uses {:.1} % of a processor", 100.0 * least);
    node.stop(machine)
}
