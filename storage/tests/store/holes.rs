//! Holes, of the original server and of a damaged disk, shown closed, that no other test of the store is about.

use crate::scrub::{DAY, scrub};
use crate::support::{NOW, fresh_arenas, lump, open, parts};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::device::ram::RamDisk;
use storage::score::Score;
use storage::settings::Scrub;
use storage::simulation::block_on;
use storage::store::{Store, StoreError, StoreSettings};

const DATA: BlockType = BlockType::DATA;
const COMMON: &[u8; 192] = include_bytes!("../fixtures/collision/common.bin");
const ENDS: [&[u8; 128]; 2] = [
    include_bytes!("../fixtures/collision/shattered-1.bin"),
    include_bytes!("../fixtures/collision/shattered-2.bin"),
];

async fn refuses<D: BlockDevice + 'static>(store: &Store<D>, second: &[u8], first: &[u8]) {
    let score = Score::of(first);
    let refused = store.write(DATA, second.to_vec().into(), NOW).await;
    assert_eq!(refused, Err(StoreError::Collision(score)));
    assert_eq!(refused.unwrap_err().to_string(), format!("score collision {score}"));
    assert_eq!(store.read(score, DATA).await.unwrap(), *first);
    assert_eq!(store.write(DATA, first.to_vec().into(), NOW).await, Ok(score));
}

#[test]
fn of_two_blocks_with_one_score_the_first_stays_and_the_second_is_refused() {
    let [one, other] = &ENDS.map(|end| [&COMMON[..], end].concat());
    assert!(one != other && Score::of(one) == Score::of(other));
    for (first, second) in [(one, other), (other, one)] {
        let disk = Rc::new(RamDisk::from(fresh_arenas(512, 8192, 1 << 20, 4, 1)));
        block_on(async {
            let (store, _) = open(vec![disk.clone()]).await.unwrap();
            store.write(DATA, first.to_vec().into(), NOW).await.unwrap();
            refuses(&store, second, first).await;
            store.sync().await.unwrap();
            // The first is on the disk alone now.
            let (store, _) = open(vec![disk.clone()]).await.unwrap();
            refuses(&store, second, first).await;
            assert_eq!(store.status().index_entries, 1);
        });
    }
}

#[test]
fn a_given_up_clump_whose_length_leads_out_of_the_log_hides_none_behind_it() {
    block_on(async {
        let disk = Rc::new(RamDisk::from(fresh_arenas(512, 8192, 1 << 20, 4, 1)));
        let (store, _) = open(vec![disk.clone()]).await.unwrap();
        let mut scores = Vec::new();
        for number in 0..20 {
            scores.push(store.write(DATA, lump(4 * number + 1, 3000).into(), NOW).await.unwrap());
        }
        store.sync().await.unwrap();
        let arena = store.status().arenas[0].clone();
        let clump = |number: u64| arena.start + 8192 + number * 3038;
        // Sizes in the directory do not add up; the type of clump 3 says that it was given up, its length is wrong; and
        // a byte of clump 12 is wrong, too.
        disk.put(arena.stop - 2 * 8192 + 7 * 25 + 2, &[0x01]);
        disk.put(clump(3) + 4, &[0xff, 0xff, 0xff]);
        disk.put(clump(12) + 500, &[0]);
        let without_cache = StoreSettings { lump_cache_bytes: 0, ..StoreSettings::default() };
        let parts = parts(vec![disk.clone()], Vec::new(), None);
        let (store, _) = Store::open(parts, without_cache, NOW).await.unwrap();
        let places = || store.status().damage.iter().map(|damage| damage.offset).collect::<Vec<_>>();
        assert_eq!(places(), [20, 3 * 3038]);
        scrub(&store, Scrub::Days(30), NOW, DAY).await;
        assert!(places().contains(&(12 * 3038)), "the scrubber went on behind clump 3: {:?}", places());
        for (number, score) in scores.iter().enumerate() {
            let read = store.read(*score, DATA).await;
            assert_eq!(read.is_ok(), ![3, 12].contains(&number), "block {number}: {read:?}");
        }
    });
}
