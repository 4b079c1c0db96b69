//! The real server's disks, clean and damaged, are served; on none does the store do worse than the real server.

use crate::support::{NOW, block_type, disk, fixture, open, parts, score, table};
use storage::device::size_bytes;
use storage::simulation::block_on;
use storage::store::{Store, StoreSettings};

#[test]
fn every_clump_of_the_filled_store_reads_back_and_nothing_is_written() {
    let arenas = vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")];
    let before = arenas[0].image().to_vec();
    let sections = vec![disk("main/isect0.img.gz"), disk("main/isect1.img.gz")];
    block_on(async {
        let all = parts(arenas.clone(), sections, Some(disk("main/bloom.img.gz")));
        let (store, report) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
        assert_eq!((report.clumps, report.arenas_count), (1979, 18));
        assert!(report.damage.is_empty() && report.arenas.is_empty(), "{report:?}");
        let rows = table("main/MANIFEST.tsv");
        assert_eq!(rows.len(), 1979);
        for row in rows {
            let lump = store.read(score(&row[5]), block_type(&row[6])).await.unwrap();
            assert_eq!(lump.len(), row[8].parse::<usize>().unwrap());
        }
        let status = store.status();
        assert_eq!(status.arenas[1].address, 1_048_576 + 1_032_192);
    });
    assert_eq!(before.len() as u64, size_bytes(&*arenas[0]));
    assert!(arenas[0].image().to_vec() == before);
}

#[test]
fn the_block_that_the_bloom_filter_hides_is_found() {
    block_on(async {
        let (store, _) = open(vec![disk("main/arenas.img.gz"), disk("main/extra.img.gz")]).await.unwrap();
        let row = &table("main/BLOOM-BLIND.tsv")[0];
        assert!(store.read(score(&row[0]), block_type(&row[1])).await.is_ok());
    });
}

#[test]
fn a_store_that_was_never_indexed_is_served_whole() {
    let arenas = disk("main/arenas.img.gz");
    for offset in [1_835_008, 2_883_584, 3_932_160] {
        arenas.put(offset, &fixture(&format!("main/unindexed/arenas-tail-at-{offset}.bin")));
    }
    block_on(async {
        let (store, report) = open(vec![arenas, disk("main/extra.img.gz")]).await.unwrap();
        assert_eq!((report.clumps, report.damage.len()), (1979, 0));
        for row in table("main/MANIFEST.tsv") {
            assert!(store.read(score(&row[5]), block_type(&row[6])).await.is_ok());
        }
    });
}

#[test]
fn other_block_sizes_and_version_4_are_served() {
    for kind in ["v4", "b16k", "b512"] {
        let arenas = disk(&format!("small/{kind}/arenas.img.gz"));
        let section = disk(&format!("small/{kind}/isect.img.gz"));
        block_on(async {
            let all = parts(vec![arenas], vec![section], None);
            let (store, report) = Store::open(all, StoreSettings::default(), NOW).await.unwrap();
            assert_eq!((report.clumps, report.damage.len()), (14, 0), "{kind}");
            for row in table(&format!("small/{kind}/MANIFEST.tsv")) {
                assert!(store.read(score(&row[3]), block_type(&row[4])).await.is_ok(), "{kind} {row:?}");
            }
        });
    }
}
