//! Queued commands against a disk whose queue works, or does not as it says.

use super::fake::{Fake, disk, open_on, tick, turn};
use super::*;
use crate::drive::{Drive, Host};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use storage::device::{BlockDevice, DeviceError};

const READ: u8 = 0x25;
const READ_QUEUED: u8 = 0x60;
const FLUSH: u8 = 0xea;

/// Opcode and first sector of what was issued since the last look.
fn commands(device: &Fake) -> Vec<(u8, u64)> {
    device.issued().iter().map(|slot| (device.fis(*slot)[2], device.first(*slot))).collect()
}

/// How one read ends when `treat` deals with each command that is issued.
fn read(
    (device, host, disk): &(Fake, super::fake::FakeHost, Drive<Port<Fake>>),
    first: u64,
    mut treat: impl FnMut(u16, u8),
) -> Result<(), DeviceError> {
    let mut read = pin!(disk.read(first, 1));
    for _ in 0..40 {
        if let Poll::Ready(outcome) = turn!(read) {
            return outcome.map(|_| ());
        }
        for slot in device.issued() {
            treat(slot, device.fis(slot)[2]);
        }
        host.complete();
        tick(device, host);
    }
    panic!("the read does not end");
}

/// The opcode with which a read goes out now; it succeeds.
fn kind_of_read(all: &(Fake, super::fake::FakeHost, Drive<Port<Fake>>)) -> u8 {
    let mut seen = 0;
    read(all, 900, |slot, opcode| {
        seen = opcode;
        all.0.finish(slot);
    })
    .unwrap();
    seen
}

#[test]
fn as_many_commands_as_disk_and_controller_take_are_under_way_at_once() {
    for (depth, slots, expected) in [(32, 32, 32), (31, 32, 31), (32, 8, 8), (1, 32, 1)] {
        let device = Fake::new(depth);
        let found = open_on(&device, slots, true).unwrap().unwrap();
        let host = Host::new(found.port);
        let disk = host.add("ahci".into(), found.identity.geometry);
        let mut reads: Vec<_> = (0..40).map(|first| Box::pin(disk.read(first, 1))).collect();
        reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
        let issued = device.issued();
        assert_eq!(issued.len(), expected, "depth {depth}, slots {slots}");
        issued.iter().for_each(|slot| device.finish(*slot));
        host.complete();
        assert_eq!(
            reads.iter_mut().filter_map(|read| turn!(read).is_ready().then_some(())).count(),
            expected
        );
    }
}

#[test]
fn a_queue_needs_the_controller_as_well() {
    let device = Fake::new(32);
    let found = open_on(&device, 32, false).unwrap().unwrap();
    let host = Host::new(found.port);
    let disk = host.add("ahci".into(), found.identity.geometry);
    let (mut one, mut two) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(one).is_pending());
    assert!(turn!(two).is_pending());
    assert_eq!(commands(&device), [(READ, 1)]);
}

#[test]
fn an_error_before_a_flush_keeps_the_order_and_the_flush() {
    let (device, host, disk) = disk(32);
    let (mut bad, mut flush, mut late) = (pin!(disk.read(2, 1)), pin!(disk.flush()), pin!(disk.read(3, 1)));
    assert!(turn!(bad).is_pending());
    assert!(turn!(flush).is_pending());
    assert!(turn!(late).is_pending());
    let slots = device.issued();
    assert_eq!(slots.len(), 1);
    device.0.borrow_mut().log = Some(slots[0] as u8);
    device.fail(slots[0]);
    host.complete();
    tick(&device, &host);
    assert!(turn!(flush).is_pending(), "no cache was lost");
    // The suspect alone, then the flush alone, then the read behind it.
    let mut seen = Vec::new();
    for _ in 0..3 {
        for slot in device.issued() {
            seen.push((device.fis(slot)[2], device.first(slot)));
            device.finish(slot);
        }
        host.complete();
    }
    assert_eq!(seen, [(READ, 2), (FLUSH, 0), (READ_QUEUED, 3)]);
    assert!(matches!(turn!(bad), Poll::Ready(Ok(_))));
    assert_eq!(turn!(flush), Poll::Ready(Ok(())));
    assert!(matches!(turn!(late), Poll::Ready(Ok(_))));
    assert_eq!((disk.failed_flushes(), device.0.borrow().link_resets), (0, 0));
}

#[test]
fn a_bad_sector_fails_queued_and_alone_and_the_queue_stays() {
    let all = disk(32);
    for first in [7, 8, 9, 10] {
        let mut tried = Vec::new();
        let outcome = read(&all, first, |slot, opcode| {
            tried.push(opcode);
            all.0.0.borrow_mut().log = Some(slot as u8);
            all.0.fail(slot);
        });
        assert_eq!(outcome, Err(DeviceError::Read { first, count: 1 }));
        assert_eq!(tried, [READ_QUEUED, READ, READ, READ, READ]);
    }
    assert_eq!(kind_of_read(&all), READ_QUEUED);
    assert_eq!(all.0.0.borrow().link_resets, 0);
}

#[test]
fn a_queue_that_fails_at_what_succeeds_alone_is_given_up() {
    let all = disk(32);
    for first in [7, 8, 9] {
        assert_eq!(kind_of_read(&all), READ_QUEUED);
        let outcome = read(&all, first, |slot, opcode| {
            all.0.0.borrow_mut().log = Some(slot as u8);
            if opcode == READ_QUEUED { all.0.fail(slot) } else { all.0.finish(slot) }
        });
        assert_eq!(outcome, Ok(()));
    }
    assert_eq!(kind_of_read(&all), READ);
    assert_eq!(all.0.0.borrow().link_resets, 0);
}

#[test]
fn a_queue_that_falls_silent_or_does_not_say_what_failed_is_given_up() {
    // No log; a log that names a slot without a command; nothing at all.
    for (log, is_silent) in [(None, false), (Some(31), false), (None, true)] {
        let all = disk(32);
        all.0.0.borrow_mut().log = log;
        let mut queued = 0;
        for first in 0..200 {
            let outcome = read(&all, first, |slot, opcode| {
                queued += usize::from(opcode == READ_QUEUED);
                match opcode {
                    READ_QUEUED if is_silent => {}
                    READ_QUEUED => all.0.fail(slot),
                    _ => all.0.finish(slot),
                }
            });
            assert_eq!(outcome, Ok(()), "read {first}, log {log:?}");
        }
        assert_eq!(queued, 3, "log {log:?}");
        assert_eq!(all.0.0.borrow().link_resets, 3);
        assert_eq!(kind_of_read(&all), READ);
    }
}

#[test]
fn a_log_that_answers_too_little_or_never_is_no_log() {
    let all = disk(32);
    let outcome = read(&all, 5, |slot, opcode| {
        if opcode == READ_QUEUED {
            // Not even the question for the log is answered; the reset brings it back.
            all.0.0.borrow_mut().mute = true;
            all.0.fail(slot);
        } else {
            all.0.finish(slot);
        }
    });
    assert_eq!((outcome, all.0.0.borrow().link_resets), (Ok(()), 1));
}
