//! A disk against a device in memory that answers truly, wrongly, late or never.

use super::geometry::UNIT;
use super::*;
use crate::virtio::fake::{FakeDevice, FakeHal, Visible};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::vec::Vec;
use virtio_drivers::transport::DeviceStatus;

const FLUSH: u64 = 1 << 9;
const READ_ONLY: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const SIZE_MAX: u64 = 1 << 1;
const INDIRECT: u64 = 1 << 28;

type Disk = VirtioBlock<FakeDevice>;

/// A configuration space: capacity in units, largest segment, sector size.
fn config(units: u64, segment: u32, sector: u32) -> Vec<u8> {
    let mut bytes = units.to_le_bytes().to_vec();
    bytes.extend(segment.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(sector.to_le_bytes());
    bytes
}

fn disk(features: u64, config: &[u8], queue: u32) -> (FakeDevice, Disk) {
    let device = FakeDevice::new(features, config, queue);
    let disk = Disk::open::<FakeHal>(device.clone(), String::new()).unwrap();
    (device, disk)
}

fn plain(queue: u32) -> (FakeDevice, Disk) {
    disk(FLUSH, &config(1000, 0, UNIT), queue)
}

/// One turn of a future that nobody wakes.
macro_rules! turn {
    ($future:expr) => {
        $future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
}

/// Type and unit of a request.
fn header(chain: &Visible) -> (u32, u64) {
    let number = |range: core::ops::Range<usize>| {
        chain.readable[range].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    (number(0..4) as u32, number(8..16))
}

/// Answers truly: every byte of a read is the low byte of its unit.
fn obey(device: &FakeDevice, chain: &Visible) {
    let (_, unit) = header(chain);
    let room = chain.room();
    let mut answer: Vec<u8> = (0..room - 1).map(|at| (unit + (at / UNIT as usize) as u64) as u8).collect();
    answer.push(0);
    chain.fill(&answer);
    device.give_back(0, chain.id, room as u32);
}

/// Answers with `status`.
fn answer(device: &FakeDevice, chain: &Visible, status: u8, written: u32) {
    let mut bytes = std::vec![0x5a; chain.room()];
    *bytes.last_mut().unwrap() = status;
    chain.fill(&bytes);
    device.give_back(0, chain.id, written);
}

#[test]
fn reads_that_finish_out_of_order_reach_who_asked() {
    let (device, disk) = plain(64);
    let mut reads: Vec<_> = (0..8u64).map(|first| std::boxed::Box::pin(disk.read(first * 3, 2))).collect();
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    let chains = device.all(0);
    assert_eq!(chains.len(), 8);
    chains.iter().rev().for_each(|chain| obey(&device, chain));
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    disk.complete();
    for (index, read) in reads.iter_mut().enumerate() {
        let Poll::Ready(Ok(bytes)) = turn!(read) else { panic!("not read") };
        let first = index as u8 * 3;
        assert_eq!(bytes.len(), 1024);
        assert!(bytes[..512].iter().all(|byte| *byte == first));
        assert!(bytes[512..].iter().all(|byte| *byte == first + 1));
    }
}

#[test]
fn writes_carry_their_bytes_and_flush_is_a_request() {
    let (device, disk) = plain(256);
    let mut write = pin!(disk.write(9, Bytes::from(std::vec![3; 1024])));
    assert!(turn!(write).is_pending());
    let chain = device.next(0).unwrap();
    assert_eq!(header(&chain), (1, 9));
    assert_eq!(chain.readable[16..], [3; 1024]);
    assert_eq!(chain.room(), 1);
    answer(&device, &chain, 0, 1);
    disk.complete();
    assert_eq!(turn!(write), Poll::Ready(Ok(())));

    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    let chain = device.next(0).unwrap();
    assert_eq!(header(&chain), (4, 0));
    answer(&device, &chain, 1, 1);
    disk.complete();
    assert_eq!(turn!(flush), Poll::Ready(Err(DeviceError::Flush)));
}

#[test]
fn a_device_without_flush_is_not_asked_to() {
    let (device, disk) = disk(0, &config(1000, 0, 0), 16);
    assert!(!disk.geometry().flushes);
    assert_eq!(turn!(pin!(disk.flush())), Poll::Ready(Ok(())));
    assert!(device.next(0).is_none());
}

#[test]
fn an_error_or_short_read_is_an_error_of_that_request_alone() {
    let (device, disk) = plain(64);
    for (status, written, good) in [
        (0, 513, true),
        (0, 512, true),
        (0, 511, false),
        (1, 513, false),
        (2, 513, false),
        (0xff, 513, false),
    ] {
        let mut read = pin!(disk.read(5, 1));
        assert!(turn!(read).is_pending());
        answer(&device, &device.next(0).unwrap(), status, written);
        disk.complete();
        let Poll::Ready(outcome) = turn!(read) else { panic!("no answer") };
        assert_eq!(outcome.is_ok(), good, "status {status}, {written} written");
        assert!(good || outcome == Err(DeviceError::Read { first: 5, count: 1 }));
    }
}

#[test]
fn a_status_that_the_device_never_wrote_is_an_error() {
    let (device, disk) = plain(64);
    let mut write = pin!(disk.write(5, Bytes::from_static(&[0; 512])));
    assert!(turn!(write).is_pending());
    // The fake's memory starts as 0xee where it may write.
    device.give_back(0, device.next(0).unwrap().id, 1);
    disk.complete();
    assert_eq!(turn!(write), Poll::Ready(Err(DeviceError::Write { first: 5, count: 1 })));
}

#[test]
fn a_bogus_id_ends_the_disk_and_tells_everybody() {
    for id in [63, 200, 65535] {
        let (device, disk) = plain(64);
        let mut reads: Vec<_> = (0..30).map(|first| std::boxed::Box::pin(disk.read(first, 1))).collect();
        reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
        device.give_back(0, id, 513);
        disk.complete();
        reads.iter_mut().for_each(|read| assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone))));
        assert_eq!(turn!(pin!(disk.read(0, 1))), Poll::Ready(Err(DeviceError::Gone)));
        assert_eq!(turn!(pin!(disk.flush())), Poll::Ready(Err(DeviceError::Gone)));
        assert_eq!(device.0.borrow().status, DeviceStatus::empty(), "the device must be stopped");
        disk.complete();
        disk.tick();
    }
}

#[test]
fn one_answer_given_twice_ends_the_disk() {
    let (device, disk) = plain(64);
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    let chain = device.next(0).unwrap();
    obey(&device, &chain);
    obey_again(&device, &chain);
    disk.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
    assert_eq!(turn!(pin!(disk.read(0, 1))), Poll::Ready(Err(DeviceError::Gone)));
}

fn obey_again(device: &FakeDevice, chain: &Visible) {
    device.give_back(0, chain.id, 513);
}

#[test]
fn a_silent_disk_is_gone_after_a_while_and_back_when_it_has_answered_all() {
    let (device, disk) = plain(64);
    let (mut first, mut second) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(first).is_pending());
    assert!(turn!(second).is_pending());
    (0..PATIENCE_TICKS).for_each(|_| disk.tick());
    assert!(turn!(first).is_pending());
    disk.tick();
    assert_eq!(turn!(first), Poll::Ready(Err(DeviceError::Gone)));
    assert_eq!(turn!(second), Poll::Ready(Err(DeviceError::Gone)));
    let chains = device.all(0);
    obey(&device, &chains[1]);
    disk.complete();
    assert_eq!(turn!(pin!(disk.read(0, 1))), Poll::Ready(Err(DeviceError::Gone)));
    obey(&device, &chains[0]);
    disk.complete();
    let mut third = pin!(disk.read(7, 1));
    assert!(turn!(third).is_pending());
    obey(&device, &device.next(0).unwrap());
    disk.complete();
    assert!(matches!(turn!(third), Poll::Ready(Ok(bytes)) if bytes[0] == 7));
}

#[test]
fn who_stops_waiting_leaves_the_memory_with_the_device() {
    let (device, disk) = plain(64);
    for _ in 0..1000 {
        let mut read = std::boxed::Box::pin(disk.read(1, 1));
        assert!(turn!(read).is_pending());
        drop(read);
        let chain = device.next(0).unwrap();
        // Were the memory freed already, the fake would write to a stranger's; the queue would also run full.
        obey(&device, &chain);
        disk.complete();
    }
    assert_eq!(disk.depth(), 21);
}

#[test]
fn requests_wait_for_a_place_in_the_queue_and_none_is_lost() {
    for (features, queue, depth) in [(FLUSH, 16, 5), (FLUSH | INDIRECT, 16, 16), (FLUSH, 1024, 85)] {
        let (device, disk) = disk(features, &config(1000, 0, 0), queue);
        assert_eq!(disk.depth(), depth);
        let mut reads: Vec<_> = (0..200u64).map(|first| std::boxed::Box::pin(disk.read(first, 1))).collect();
        let mut done = std::vec![false; reads.len()];
        for _ in 0..400 {
            for (index, read) in
                reads.iter_mut().enumerate().filter(|(index, _)| !done[*index]).collect::<Vec<_>>()
            {
                if let Poll::Ready(bytes) = turn!(read) {
                    assert_eq!(bytes.unwrap()[0], index as u8);
                    done[index] = true;
                }
            }
            let chains = device.all(0);
            assert!(chains.len() <= depth);
            chains.iter().for_each(|chain| obey(&device, chain));
            disk.complete();
        }
        assert!(done.iter().all(|done| *done));
    }
}

#[test]
fn waiters_for_a_place_learn_that_the_disk_is_gone() {
    let (device, disk) = disk(0, &config(1000, 0, 0), 16);
    let mut reads: Vec<_> = (0..20).map(|first| std::boxed::Box::pin(disk.read(first, 1))).collect();
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    device.give_back(0, 999, 0);
    disk.complete();
    for _ in 0..3 {
        reads.retain_mut(|read| turn!(read).is_pending());
    }
    assert!(reads.is_empty());
}

#[test]
fn long_requests_are_cut_to_what_the_device_takes() {
    let (device, disk) = disk(SIZE_MAX, &config(1000, 3000, 0), 256);
    let mut read = pin!(disk.read(10, 12));
    assert!(turn!(read).is_pending());
    let chains = device.all(0);
    let shape: Vec<_> = chains.iter().map(|chain| (header(chain).1, chain.room() - 1)).collect();
    assert_eq!(shape, [(10, 2560), (15, 2560), (20, 1024)]);
    chains.iter().rev().for_each(|chain| obey(&device, chain));
    disk.complete();
    let Poll::Ready(Ok(bytes)) = turn!(read) else { panic!("not read") };
    assert!(bytes.chunks(512).enumerate().all(|(at, sector)| sector.iter().all(|b| *b == 10 + at as u8)));
}

#[test]
fn sectors_of_4096_bytes_are_counted_in_their_own_size() {
    let (device, disk) = disk(BLK_SIZE, &config(1001, 0, 4096), 256);
    assert_eq!((disk.sector_size(), disk.sector_count()), (4096, 125));
    let mut read = pin!(disk.read(3, 1));
    assert!(turn!(read).is_pending());
    let chain = device.next(0).unwrap();
    assert_eq!((header(&chain), chain.room()), ((0, 24), 4097));
    obey(&device, &chain);
    disk.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(bytes)) if bytes[0] == 24 && bytes[4095] == 31));
}

#[test]
fn what_is_outside_or_not_whole_or_read_only_never_reaches_the_device() {
    let (device, disk) = disk(READ_ONLY, &config(1000, 0, 0), 64);
    let outside = |first, count| Poll::Ready(Err(DeviceError::OutOfBounds { first, count }));
    assert_eq!(turn!(pin!(disk.read(999, 2))), outside(999, 2));
    assert_eq!(turn!(pin!(disk.read(u64::MAX, 2))), outside(u64::MAX, 2));
    let odd = Bytes::from_static(&[0; 513]);
    assert!(matches!(turn!(pin!(disk.write(1, odd))), Poll::Ready(Err(DeviceError::OutOfBounds { .. }))));
    let refused = Poll::Ready(Err(DeviceError::Write { first: 1, count: 1 }));
    assert_eq!(turn!(pin!(disk.write(1, Bytes::from_static(&[0; 512])))), refused);
    assert_eq!(turn!(pin!(disk.read(1000, 0))), Poll::Ready(Ok(Bytes::new())));
    assert!(device.next(0).is_none());
}

#[test]
fn the_serial_number_is_text_or_nothing() {
    let (device, disk) = plain(64);
    for (given, expected) in
        [(&b"abc\0\xff"[..], "abc"), (b"12345678901234567890", "12345678901234567890"), (b"a\x1b b", "ab")]
    {
        let mut serial = pin!(disk.serial());
        assert!(turn!(serial).is_pending());
        let chain = device.next(0).unwrap();
        assert_eq!(header(&chain).0, 8);
        let mut bytes = std::vec![0; 21];
        bytes[..given.len()].copy_from_slice(given);
        chain.fill(&bytes);
        device.give_back(0, chain.id, 21);
        disk.complete();
        assert_eq!(turn!(serial), Poll::Ready(Ok(expected.into())));
    }
    let mut serial = pin!(disk.serial());
    assert!(turn!(serial).is_pending());
    answer(&device, &device.next(0).unwrap(), 2, 1);
    disk.complete();
    assert_eq!(turn!(serial), Poll::Ready(Ok(String::new())));
}

#[test]
fn senseless_devices_are_refused() {
    let open = |features, config: &[u8], queue| {
        Disk::open::<FakeHal>(FakeDevice::new(features, config, queue), String::new()).err()
    };
    let capacity = &config(1000, 100, 1000)[..];
    assert!(matches!(
        open(BLK_SIZE, capacity, 64),
        Some(Problem::Configuration { what: "the sector size", .. })
    ));
    assert!(matches!(open(SIZE_MAX, capacity, 64), Some(Problem::Configuration { .. })));
    assert!(matches!(open(0, &config(u64::MAX, 0, 0), 64), Some(Problem::Configuration { .. })));
    assert_eq!(open(0, &[0; 4], 64), Some(Problem::Unreadable));
    assert_eq!(open(0, capacity, 2), Some(Problem::QueueTooSmall { queue: 0, size: 2 }));
    let legacy = FakeDevice::new(0, capacity, 64);
    legacy.0.borrow_mut().features = 0;
    assert_eq!(Disk::open::<FakeHal>(legacy, String::new()).err(), Some(Problem::Legacy));
}
