//! A store at rest on which bytes have changed: checked, and brought back. Whatever the bytes are, nothing that could be
//! read before is gone afterwards, nothing wrong is read, and a second plan has nothing left to do.

use crate::Input;
use crate::store::{BLOCKS, Disks, NOW, lump, stores};
use storage::check::check;
use storage::salvage::{Settings, plan};
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{Store, StoreSettings};

/// Places that change in one run.
const CHANGES_MAX: usize = 6;

/// Which store, whether lost clumps are covered, then changes of the disks.
pub fn repair(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let disks = stores()[usize::from(kind & 1)].copy();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        disks.change(&mut input);
    }
    block_on(check_and_repair(&disks, kind & 2 != 0));
}

async fn check_and_repair(disks: &Disks, fill: bool) {
    let before = readable(disks).await;
    let parts = disks.parts();
    // These disks answer always.
    let found = check(&parts, &mut ()).await.expect("the disks are there");
    found.findings.iter().for_each(|finding| drop(finding.to_string()));
    let settings = Settings { fill, now: NOW };
    let first = plan(&parts, settings, || 0x0bad_cafe, &mut ()).await.expect("the disks are there");
    assert_eq!(first.report.is_damaged(), found.is_damaged());
    first.steps.iter().for_each(|step| drop(step.to_string()));
    first.left.iter().for_each(|left| drop(left.to_string()));
    first.apply(&mut ()).await.expect("the disks are there");
    let second = plan(&parts, settings, || 0x0bad_cafe, &mut ()).await.expect("the disks are there");
    assert!(second.steps.is_empty(), "after {:?} there is still {:?}", first.steps, second.steps);
    let after = readable(disks).await;
    for number in before {
        assert!(after.contains(&number), "block {number} could be read before it was repaired");
    }
}

/// The blocks that a server on these disks has, each of them right.
async fn readable(disks: &Disks) -> Vec<u64> {
    let settings = StoreSettings { read_only: true, ..StoreSettings::default() };
    let Ok((store, _)) = Store::open(disks.parts(), settings, NOW).await else { return Vec::new() };
    let mut readable = Vec::new();
    for number in 0..BLOCKS {
        let (block_type, lump) = lump(number);
        if let Ok(found) = store.read(Score::of(&lump), block_type).await {
            assert_eq!(found, lump, "block {number} is wrong");
            readable.push(number);
        }
    }
    readable
}
