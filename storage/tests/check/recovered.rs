//! Recovery of the real server's damaged logs; and power cuts while it writes.

use crate::fixtures::{CASES, damaged, run};
use crate::support::{NOW, block_type, disk, parts, score, table};
use std::rc::Rc;
use storage::check::Grade;
use storage::device::BlockDevice;
use storage::device::ram::RamDisk;
use storage::device::sim::SimDisk;
use storage::salvage::{Settings, Step, plan};
use storage::simulation::block_on;
use storage::store::{Store, StoreParts, StoreSettings};

/// Recovers a store; then a second plan must have nothing to do. Returns what the first one did.
pub fn recover<D: BlockDevice>(parts: &StoreParts<D>, fill: bool) -> Vec<Step> {
    let settings = Settings { fill, now: NOW };
    block_on(async {
        let first = plan(parts, settings, || 0x0bad_cafe, &mut ()).await.unwrap();
        assert!(first.left.is_empty(), "{:?}", first.left);
        first.apply(&mut ()).await.unwrap();
        let second = plan(parts, settings, || 0x0bad_cafe, &mut ()).await.unwrap();
        let again: Vec<String> = second.steps.iter().map(ToString::to_string).collect();
        assert!(again.is_empty(), "after {:?} there is still {again:?}", first.steps);
        first.steps
    })
}

/// Which of the 14 blocks read back.
fn readable(arenas: &Rc<RamDisk>, section: &Rc<RamDisk>) -> String {
    block_on(async {
        let all = parts(vec![arenas.clone()], vec![section.clone()], None);
        let settings = StoreSettings { read_only: true, ..StoreSettings::default() };
        let (store, report) = Store::open(all, settings, NOW).await.unwrap();
        assert!(report.arenas.is_empty(), "{report:?}");
        let mut readable = String::new();
        for row in table("crash/BLOCKS.tsv") {
            let good = store.read(score(&row[0]), block_type(&row[1])).await.is_ok();
            readable.push(if good { '1' } else { '0' });
        }
        readable
    })
}

/// Which of the 14 blocks are back, in the order of [`CASES`].
const BACK: [&str; 15] = [
    "11111100000000",
    "11111111111111",
    "11111111111111",
    "11111111111111",
    "11111111111110",
    "11111111111100",
    "11111111101111",
    "11111101111111",
    "11111111111111",
    "11111111111111",
    "11111111111110",
    "11111111111111",
    // Marked corrupt, but its data is whole, and the directory says what it was.
    "11111111111111",
    "11111111111111",
    "11111111111111",
];

#[test]
fn damaged_logs_come_back_whole_and_indexed() {
    for ((name, ..), expected) in CASES.iter().zip(BACK) {
        let (arenas, section) = (damaged(name), disk("crash/isect.img.gz"));
        let all = parts(vec![arenas.clone()], vec![section.clone()], None);
        let steps = recover(&all, false);
        assert_eq!(steps.is_empty(), *name == "base", "{name}: {steps:?}");
        let report = run(&all);
        assert_eq!(report.of(Grade::Damage).count(), 0, "{name}: {:?}", report.findings);
        assert_eq!(report.of(Grade::Lag).count(), 0, "{name}: {:?}", report.findings);
        assert_eq!(readable(&arenas, &section), expected, "{name}");
    }
}

#[test]
fn a_power_cut_while_recovering_loses_nothing() {
    for name in ["tail-zero", "head-lost", "hole-mid-log", "tail-and-directory-lost", "clump-marked-corrupt"]
    {
        let position = CASES.iter().position(|case| case.0 == name).unwrap();
        let (arenas, section) = (damaged(name).image(), disk("crash/isect.img.gz").image());
        let mut cuts = 0;
        for operations in 1..400 {
            let disks = [&arenas, &section].map(|image| Rc::new(SimDisk::new(image.clone(), operations)));
            let all = parts(vec![disks[0].clone()], vec![disks[1].clone()], None);
            let settings = Settings { fill: false, now: NOW };
            let done = block_on(async {
                let plan = plan(&all, settings, || 7, &mut ()).await.unwrap();
                disks[operations as usize % 2].cut_power_after(operations / 2);
                plan.apply(&mut ()).await
            });
            if done.is_ok() && operations > 40 {
                break;
            }
            cuts += u64::from(done.is_err());
            let after = disks.map(|disk| Rc::new(RamDisk::from(disk.power_cut(operations))));
            recover(&parts(vec![after[0].clone()], vec![after[1].clone()], None), false);
            assert_eq!(readable(&after[0], &after[1]), BACK[position], "{name} cut at {operations}");
        }
        assert!(cuts > 3, "{name}: {cuts} cuts");
    }
}
