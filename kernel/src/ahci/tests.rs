//! A port and its disk against a device in memory that answers truly, wrongly or never.

use super::fake::{Fake, disk, open, tick, turn, write};
use super::port::{PortRegisters, register};
use super::*;
use bytes::Bytes;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use storage::device::{BlockDevice, DeviceError};

#[test]
fn a_disk_is_found_and_anything_else_is_left_alone() {
    let found = open(&Fake::new(32), 8).unwrap().unwrap();
    assert_eq!((found.identity.serial.as_str(), found.identity.geometry.sector_count), ("SN1", 1000));
    let empty = Fake::new(32);
    empty.set(register::LINK, |_| 0);
    assert!(open(&empty, 32).unwrap().is_none());
    let drive = Fake::new(32);
    drive.set(register::SIGNATURE, |_| 0xeb14_0101);
    assert!(open(&drive, 32).unwrap().is_none());
    assert_eq!(drive.read(register::CONTROL) & (1 << 15 | 1 << 14), 0, "stopped again");
}

#[test]
fn ports_that_do_not_work_are_refused_in_time() {
    let failure = |change: &dyn Fn(&Fake)| {
        let device = Fake::new(32);
        change(&device);
        open(&device, 32).err().unwrap()
    };
    assert_eq!(failure(&|device| device.0.borrow_mut().mute = true), Problem::Slow("identify itself"));
    assert_eq!(failure(&|device| device.set(register::TASK_FILE, |_| 0x80)), Problem::Slow("become ready"));
    assert_eq!(failure(&|device| device.set(register::LINK, |_| 1)), Problem::Unplugged);
    assert_eq!(failure(&|device| device.set(register::CONTROL, |_| u32::MAX)), Problem::Unplugged);
    let stuck = |device: &Fake| {
        device.set(register::CONTROL, |_| 1 << 15);
        device.0.borrow_mut().stuck = true;
    };
    assert_eq!(failure(&stuck), Problem::Slow("stop"));
}

#[test]
fn queued_reads_end_in_any_order_and_a_flush_runs_alone() {
    let (device, host, disk) = disk(32);
    let (mut one, mut two) = (pin!(disk.read(1, 2)), pin!(disk.read(2, 2)));
    let (mut flush, mut late) = (pin!(disk.flush()), pin!(disk.read(3, 2)));
    assert!(turn!(one).is_pending());
    assert!(turn!(two).is_pending());
    assert!(turn!(flush).is_pending());
    assert!(turn!(late).is_pending());
    let slots = device.issued();
    assert_eq!(slots.len(), 2, "the flush waits, and what comes behind it");
    for slot in slots.iter().rev() {
        let fis = device.fis(*slot);
        assert_eq!((fis[2], fis[3], fis[12]), (0x60, 2, (*slot as u8) << 3));
        let (start, len) = device.place(*slot);
        write(start, &alloc::vec![device.first(*slot) as u8; len]);
        device.finish(*slot);
    }
    host.complete();
    assert!(matches!(turn!(one), Poll::Ready(Ok(bytes)) if bytes.len() == 1024 && bytes[1023] == 1));
    assert!(matches!(turn!(two), Poll::Ready(Ok(bytes)) if bytes[0] == 2));
    let slots = device.issued();
    assert_eq!(slots.len(), 1);
    assert_eq!(device.fis(slots[0])[2], 0xea);
    device.finish(slots[0]);
    host.complete();
    assert_eq!(turn!(flush), Poll::Ready(Ok(())));
    assert_eq!(device.fis(device.issued()[0])[2], 0x60);
}

#[test]
fn a_disk_without_queues_gets_one_command_at_a_time() {
    let (device, host, disk) = disk(0);
    let data = Bytes::from(alloc::vec![8; 512]);
    let (mut write, mut read) = (pin!(disk.write(5, data)), pin!(disk.read(5, 1)));
    assert!(turn!(write).is_pending());
    assert!(turn!(read).is_pending());
    let slots = device.issued();
    let (start, len) = device.place(slots[0]);
    assert_eq!(
        (slots.len(), device.fis(slots[0])[2], super::fake::read(start, len)),
        (1, 0x35, alloc::vec![8; 512])
    );
    device.finish(slots[0]);
    host.complete();
    assert_eq!(turn!(write), Poll::Ready(Ok(())));
    let slots = device.issued();
    assert_eq!((slots.len(), device.fis(slots[0])[2]), (1, 0x25));
    device.finish(slots[0]);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn health_is_asked_alone_and_only_of_disks_that_tell() {
    let (device, host, disk) = disk(32);
    let (mut read, mut health) = (pin!(disk.read(5, 1)), pin!(disk.health()));
    assert!(turn!(read).is_pending());
    assert!(turn!(health).is_pending());
    let slots = device.issued();
    assert_eq!((slots.len(), device.fis(slots[0])[2]), (1, 0x60), "the question waits");
    device.finish(slots[0]);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
    let slots = device.issued();
    assert_eq!((slots.len(), device.fis(slots[0])[2]), (1, 0xb0));
    let (start, len) = device.place(slots[0]);
    write(start, &alloc::vec![7; len]);
    device.finish(slots[0]);
    host.complete();
    assert!(matches!(turn!(health), Poll::Ready(Some(bytes)) if bytes[..] == [7; 512]));
    // It refuses: no harm is done.
    let mut health = pin!(disk.health());
    assert!(turn!(health).is_pending());
    device.fail(device.issued()[0]);
    host.complete();
    tick(&device, &host);
    assert_eq!((turn!(health), device.0.borrow().link_resets), (Poll::Ready(None), 0));

    let device = Fake::new(32);
    device.0.borrow_mut().identity[170..172].fill(0);
    let found = open(&device, 32).unwrap().unwrap();
    let host = crate::drive::Host::new(found.port);
    let disk = host.add("ahci".into(), found.identity.geometry);
    assert_eq!(turn!(pin!(disk.health())), Poll::Ready(None));
    assert!(device.issued().is_empty());
}

#[test]
fn the_log_tells_which_queued_command_failed_and_the_others_go_on() {
    let (device, host, disk) = disk(32);
    let (mut good, mut bad) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(good).is_pending());
    assert!(turn!(bad).is_pending());
    let mut good_issued = 0;
    for _ in 0..12 {
        for slot in device.issued() {
            if device.first(slot) == 2 {
                device.0.borrow_mut().log = Some(slot as u8);
                device.fail(slot);
                continue;
            }
            // The first time it is under way when the other one fails.
            good_issued += 1;
            if good_issued > 1 {
                device.finish(slot);
            }
        }
        host.complete();
        tick(&device, &host);
    }
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 2, count: 1 })));
    assert_eq!((device.0.borrow().link_resets, disk.failed_flushes(), good_issued), (0, 0, 2));
    assert!(matches!(turn!(good), Poll::Ready(Ok(_))));
}

#[test]
fn without_a_log_the_link_is_reset_and_commands_run_alone_until_the_guilty_one_is_known() {
    let (device, host, disk) = disk(32);
    let (mut bad, mut good) = (pin!(disk.read(2, 1)), pin!(disk.read(1, 1)));
    assert!(turn!(bad).is_pending());
    assert!(turn!(good).is_pending());
    for _ in 0..20 {
        for slot in device.issued() {
            if device.first(slot) == 2 { device.fail(slot) } else { device.finish(slot) }
        }
        host.complete();
        tick(&device, &host);
    }
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 2, count: 1 })));
    assert!(matches!(turn!(good), Poll::Ready(Ok(_))));
    assert_eq!(device.0.borrow().link_resets, 1);
    assert_eq!(disk.failed_flushes(), 1, "the reset may have cost the cache");
}

#[test]
fn silence_resets_the_link_and_the_request_is_made_again() {
    let (device, host, disk) = disk(32);
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    device.issued();
    (0..16).for_each(|_| tick(&device, &host));
    assert_eq!(device.0.borrow().link_resets, 1);
    device.finish(device.issued()[0]);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn a_disk_that_is_pulled_out_is_gone_at_once_and_back_when_it_is_put_in() {
    let (device, host, disk) = disk(32);
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    device.set(register::LINK, |_| 0);
    tick(&device, &host);
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone)));
    assert_eq!(turn!(pin!(disk.flush())), Poll::Ready(Err(DeviceError::Gone)));
    device.set(register::LINK, |_| 0x123);
    device.issued();
    (0..40).for_each(|_| {
        tick(&device, &host);
        device.issued().iter().for_each(|slot| device.finish(*slot));
    });
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
}

#[test]
fn a_port_that_cannot_be_stopped_is_gone_with_its_memory() {
    let (device, host, disk) = disk(32);
    let source = Bytes::from(alloc::vec![1; 512]);
    let mut write = pin!(disk.write(1, source.clone()));
    assert!(turn!(write).is_pending());
    device.0.borrow_mut().stuck = true;
    (0..16).for_each(|_| tick(&device, &host));
    assert_eq!(turn!(write), Poll::Ready(Err(DeviceError::Gone)));
    assert!(!source.is_unique(), "the device may still read it");
}
