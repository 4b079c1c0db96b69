//! What the simulated disk promises, and that it breaks its promises only as it is told.

use super::*;
use crate::simulation::block_on;
use alloc::vec;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(Image::new(512, 64), seed)
}

fn sectors(value: u8, count: usize) -> Bytes {
    Bytes::from(vec![value; 512 * count])
}

#[test]
fn what_was_flushed_survives_every_power_cut() {
    block_on(async {
        let disk = disk(1);
        disk.write(3, sectors(1, 4)).await.unwrap();
        disk.flush().await.unwrap();
        for seed in 0..50 {
            assert_eq!(disk.power_cut(seed).get(3 * 512, 4 * 512), sectors(1, 4));
        }
    });
}

#[test]
fn what_was_not_flushed_is_kept_dropped_and_torn() {
    block_on(async {
        let disk = disk(2);
        disk.write(3, sectors(1, 4)).await.unwrap();
        assert_eq!(disk.read(3, 4).await.unwrap(), sectors(1, 4));
        let images: Vec<Bytes> = (0..100).map(|seed| disk.power_cut(seed).get(3 * 512, 4 * 512)).collect();
        assert!(images.contains(&sectors(1, 4)) && images.contains(&sectors(0, 4)));
        assert!(images.iter().any(|image| image.contains(&0) && image.contains(&1)));
        for image in images {
            assert!(image.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        }
    });
}

#[test]
fn a_flush_that_fails_or_lies_leaves_nothing_certain() {
    block_on(async {
        for fault in [Fault::Fail, Fault::Ignore] {
            let lost = (0..40).any(|seed| {
                block_on(async {
                    let disk = disk(seed);
                    disk.inject(Request::Flush, 1, fault);
                    disk.write(3, sectors(1, 1)).await.unwrap();
                    assert_eq!(disk.flush().await.is_err(), fault == Fault::Fail);
                    disk.durable().get(3 * 512, 1)[0] == 0
                })
            });
            assert!(lost, "{fault:?}");
        }
    });
}

#[test]
fn the_chosen_request_fails_and_no_other() {
    block_on(async {
        let disk = disk(3);
        disk.inject(Request::Write, 2, Fault::Fail);
        assert!(disk.write(0, sectors(1, 2)).await.is_ok());
        assert!(disk.write(2, sectors(1, 2)).await.is_err());
        assert!(disk.write(4, sectors(1, 2)).await.is_ok());
        disk.spoil_sector(1);
        assert!(disk.read(0, 2).await.is_err());
        disk.write(1, sectors(5, 1)).await.unwrap();
        assert!(disk.read(0, 2).await.is_ok());
    });
}

#[test]
fn nothing_answers_after_the_power_is_gone() {
    block_on(async {
        let disk = disk(4);
        disk.cut_power_after(2);
        assert!(disk.write(0, sectors(1, 1)).await.is_ok());
        assert!(disk.flush().await.is_ok());
        assert_eq!(disk.write(1, sectors(2, 1)).await, Err(DeviceError::Gone));
        assert_eq!(disk.flush().await, Err(DeviceError::Gone));
        assert!((0..50).any(|seed| disk.power_cut(seed).get(512, 1)[0] == 2));
        assert!((0..50).any(|seed| disk.power_cut(seed).get(512, 1)[0] == 0));
    });
}
