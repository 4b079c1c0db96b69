//! What files say that are made when they are opened.
//!
//! Knows figures and lines. Must not know who reads them.

use crate::disks::DiskHealth;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use storage::device::BlockDevice;
use storage::names::keeper::Progress;
use storage::names::{NameKeeper, Registry};
use storage::store::Store;

/// `status`: `key value` a line, for people and scripts.
pub(super) fn status<D: BlockDevice + 'static, F: BlockDevice>(
    name: &str,
    uptime: core::time::Duration,
    store: &Store<D>,
    names: &NameKeeper<D, F>,
    fat: Option<(u64, u64)>,
) -> String {
    let (totals, status) = (store.totals(), store.status());
    let registry = names.registry();
    let mut text = format!("sysname {name}\nuptime {}\n", uptime.as_secs());
    let numbers = [
        ("arenas", totals.arenas as u64),
        ("sealed", totals.sealed as u64),
        ("blocks", totals.clumps),
        ("space", totals.space),
        ("used", totals.used),
        ("uncompressed", totals.uncompressed_size),
        ("reads", status.reads),
        ("writes", status.writes),
        ("duplicates", status.duplicates),
        ("repairs", status.repairs),
        ("not-durable", status.dirty_clumps),
        ("damage", status.damage_count),
        ("damaged-blocks", status.damaged_blocks as u64),
        ("names", registry.published().len() as u64),
        ("names-waiting", registry.waiting().len() as u64),
        ("names-in-conflict", registry.published().conflicts().count() as u64),
    ];
    for (key, number) in numbers {
        let _ = writeln!(text, "{key} {number}");
    }
    if let Some((total, free)) = fat {
        let _ = writeln!(text, "9fat-space {total}\n9fat-free {free}");
    }
    if let Some(Progress { name, is_full, blocks, bytes, .. }) = names.progress() {
        let what = if is_full { "proving" } else { "walking" };
        let _ = writeln!(text, "{what} {name} {blocks} blocks {bytes} bytes");
    }
    text
}

/// In `status`: a line for each disk that tells how it is.
pub(super) fn disks(disks: &[DiskHealth]) -> String {
    let mut text = String::new();
    for disk in disks {
        let state = if disk.is_bad() { "bad" } else { "good" };
        let _ = writeln!(text, "disk {} {state} {disk}", disk.name);
    }
    text
}

/// `arenas`: a line each.
pub(super) fn arenas<D: BlockDevice + 'static>(store: &Store<D>) -> String {
    let mut text = String::new();
    for arena in &store.status().arenas {
        let state = if arena.current.sealed { "sealed" } else { "open" };
        let scrubbed = arena.scrub.map_or(0, |record| record.ended.0);
        let _ = writeln!(
            text,
            "{} {} {state} clumps {} used {} size {} scrubbed {scrubbed}",
            arena.name,
            arena.partition,
            arena.current.clumps,
            arena.current.used,
            arena.stop - arena.start,
        );
    }
    text
}

/// `names/NAME`: a record for each root, in ndb's form. Empty if there is no such name.
pub(super) fn name(registry: &Registry, name: &str) -> String {
    let mut text = String::new();
    for (binding, stage) in registry.get(name) {
        text += &String::from_utf8_lossy(&binding.record());
        let _ = writeln!(text, "\tstate={}", stage.name());
        if let Some(proof) = registry.proof(name, binding.root) {
            let how = if proof.is_full { "proved" } else { "walked" };
            let _ = writeln!(
                text,
                "\t{how}={} proofs={} blocks={} bytes={} faults={}",
                proof.at.0, proof.count, proof.blocks, proof.bytes, proof.faults
            );
            if let Some(first) = &proof.first_fault {
                let _ = writeln!(text, "\tfirst=\"{}\"", first.replace(['"', '\n'], "?"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_line_that_begins_with_its_name_and_state() {
        let good = DiskHealth { name: "S1".into(), celsius: Some(35), ..DiskHealth::default() };
        let bad = DiskHealth { name: "S2".into(), pending: Some(4), ..DiskHealth::default() };
        assert_eq!(disks(&[good, bad]), "disk S1 good 35 °C\ndisk S2 bad 4 sectors unreadable\n");
        assert_eq!(disks(&[]), "");
    }
}
