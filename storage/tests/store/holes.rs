//! Holes of the original server, shown closed, that no other test of the store is about.

use crate::support::{NOW, fresh_arenas, open};
use std::rc::Rc;
use storage::block_type::BlockType;
use storage::device::BlockDevice;
use storage::device::ram::RamDisk;
use storage::score::Score;
use storage::simulation::block_on;
use storage::store::{Store, StoreError};

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
