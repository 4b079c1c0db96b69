//! A controller's disks against a controller in memory that answers truly, wrongly or never.

use super::fake::{FakeNvme, Taken};
use super::*;
use crate::drive::{Drive, Host};
use alloc::rc::Rc;
use bytes::Bytes;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use std::vec;
use storage::device::{BlockDevice, DeviceError};

macro_rules! turn {
    ($future:expr) => {
        $future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
}

/// Waits by letting the fake do its work.
macro_rules! pause {
    ($device:expr) => {
        &async |_| $device.run()
    };
}

fn open(device: &FakeNvme, messages: u16) -> Result<Found, Problem> {
    let Poll::Ready(found) = turn!(pin!(Controller::open(device.registers(), messages, pause!(device))))
    else {
        panic!("not a step was taken")
    };
    found
}

type Disk = Drive<Controller>;

fn disks(device: &FakeNvme) -> (Rc<Host<Controller>>, Disk, Disk) {
    let found = open(device, 0).unwrap();
    let host = Host::new(found.controller);
    let mut drives = found
        .namespaces
        .iter()
        .map(|namespace| host.add("nvme".into(), namespace.geometry))
        .collect::<Vec<_>>();
    let (second, first) = (drives.pop().unwrap(), drives.pop().unwrap());
    (host, first, second)
}

fn recover(device: &FakeNvme, host: &Host<Controller>) {
    assert!(turn!(pin!(host.recover(pause!(device)))).is_ready());
}

fn next(device: &FakeNvme) -> Taken {
    device.run();
    device.0.borrow_mut().taken.remove(0)
}

#[test]
fn a_controller_comes_up_and_shows_its_namespaces() {
    let found = open(&FakeNvme::new(64), 2).unwrap();
    assert_eq!((found.serial.as_str(), found.model.as_str()), ("SERIAL", "MODEL"));
    let shape: Vec<_> =
        found.namespaces.iter().map(|found| (found.number, found.geometry.sector_size)).collect();
    assert_eq!(shape, [(1, 512), (5, 4096)]);
    assert_eq!(found.namespaces[0].geometry.request_max, 16384);
    assert_eq!(found.controller.depth(), 126);
}

#[test]
fn reads_and_writes_carry_namespace_sector_count_and_bytes() {
    let device = FakeNvme::new(64);
    let (host, _, disk) = disks(&device);
    let mut read = pin!(disk.read(7, 4));
    assert!(turn!(read).is_pending());
    let command = next(&device);
    assert_eq!((command.bytes[0], command.number(4, 4)), (2, 5));
    assert_eq!((command.number(40, 8), command.number(48, 4)), (7, 3));
    FakeNvme::fill(&command, 16384, 9);
    device.answer(&command, 0);
    host.complete();
    let Poll::Ready(Ok(bytes)) = turn!(read) else { panic!("not read") };
    assert!(bytes.len() == 16384 && bytes.iter().all(|byte| *byte == 9));

    let data: Vec<u8> = (0..3 * 4096u32 + 64).map(|at| (at / 3) as u8).collect();
    let data = Bytes::from(data).slice(64..);
    let mut write = pin!(disk.write(1 << 8, data.clone()));
    assert!(turn!(write).is_pending());
    let command = next(&device);
    assert_eq!((command.bytes[0], command.number(40, 8), command.number(48, 4)), (1, 1 << 8, 2));
    assert_eq!(FakeNvme::content(&command, data.len()), data);
    device.answer(&command, 0);
    host.complete();
    assert_eq!(turn!(write), Poll::Ready(Ok(())));

    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    let command = next(&device);
    assert_eq!((command.bytes[0], command.number(4, 4)), (0, 5));
    device.answer(&command, 0);
    host.complete();
    assert_eq!(turn!(flush), Poll::Ready(Ok(())));
}

#[test]
fn queues_wrap_and_phases_turn_without_a_lost_answer() {
    let device = FakeNvme::new(5);
    let (host, disk, _) = disks(&device);
    for round in 0..100u64 {
        let mut reads: Vec<_> = (0..2).map(|at| Box::pin(disk.read(round + at, 1))).collect();
        reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
        let commands = [next(&device), next(&device)];
        for command in commands.iter().rev() {
            FakeNvme::fill(command, 512, command.number(40, 8) as u8);
            device.answer(command, 0);
        }
        host.complete();
        for (at, read) in (0..).zip(&mut reads) {
            let Poll::Ready(Ok(bytes)) = turn!(read) else { panic!("round {round}") };
            assert_eq!(bytes[511], (round + at) as u8);
        }
    }
}

#[test]
fn reads_and_writes_have_queues_and_messages_of_their_own_where_there_are_two() {
    for (messages, expected) in [(0, [None, None]), (1, [Some(0); 2]), (2, [Some(0), Some(1)])] {
        let device = FakeNvme::new(64);
        open(&device, messages).unwrap();
        assert_eq!(device.0.borrow().messages[1..], expected);
    }
    let limits: [&dyn Fn(&FakeNvme); 2] =
        [&|device| device.0.borrow_mut().pairs = 1, &|device| device.0.borrow_mut().queue_max = 1];
    for limit in limits {
        let device = FakeNvme::new(64);
        limit(&device);
        let (host, disk, _) = disks(&device);
        assert_eq!(disk.depth(), 32, "half of one queue, as there are two disks");
        let (mut read, mut write) = (pin!(disk.read(1, 1)), pin!(disk.write(2, Bytes::from(vec![1; 512]))));
        assert!(turn!(read).is_pending());
        assert!(turn!(write).is_pending());
        for _ in 0..2 {
            let command = next(&device);
            assert_eq!(command.queue, 1);
            device.answer(&command, 0);
        }
        host.complete();
        assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
        assert_eq!(turn!(write), Poll::Ready(Ok(())));
    }
}

#[test]
fn a_line_of_writes_does_not_keep_a_read_and_a_reset_brings_both_queues_back() {
    let device = FakeNvme::new(8);
    let (host, disk, _) = disks(&device);
    let mut writes: Vec<_> = (0..10).map(|at| Box::pin(disk.write(at, Bytes::from(vec![1; 512])))).collect();
    writes.iter_mut().for_each(|write| assert!(turn!(write).is_pending()));
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    device.run();
    let queues = |device: &FakeNvme| -> Vec<_> {
        device.0.borrow().taken.iter().map(|taken| (taken.queue, taken.bytes[0])).collect()
    };
    // Half of the places, as there are two disks.
    let expected = [(1, 2), (2, 1), (2, 1), (2, 1), (2, 1)];
    assert_eq!(queues(&device), expected);
    device.registers().write32(register::STATUS, 3);
    host.tick();
    recover(&device, &host);
    device.run();
    assert_eq!((device.0.borrow().starts, queues(&device)), (2, expected.to_vec()), "all is asked again");
    let commands = core::mem::take(&mut device.0.borrow_mut().taken);
    commands.iter().for_each(|command| device.answer(command, 0));
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
    assert_eq!(writes.iter_mut().filter_map(|write| turn!(write).is_ready().then_some(())).count(), 4);
}

#[test]
fn an_answer_in_the_other_queue_is_bogus() {
    let device = FakeNvme::new(64);
    let (host, disk, _) = disks(&device);
    let mut read = pin!(disk.read(9, 1));
    assert!(turn!(read).is_pending());
    device.post(2, next(&device).id(), 0, 0);
    host.complete();
    recover(&device, &host);
    assert_eq!(device.0.borrow().starts, 2);
    let command = next(&device);
    device.answer(&command, 0);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn a_controller_that_comes_back_with_fewer_queues_is_gone() {
    let device = FakeNvme::new(64);
    let (host, disk, _) = disks(&device);
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    device.0.borrow_mut().pairs = 1;
    device.registers().write32(register::STATUS, 3);
    host.tick();
    recover(&device, &host);
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone)));
}

#[test]
fn health_is_asked_beside_reads_and_writes() {
    let device = FakeNvme::new(64);
    let (host, disk, other) = disks(&device);
    let mut read = pin!(disk.read(9, 1));
    assert!(turn!(read).is_pending());
    let (mut health, mut second) = (pin!(disk.health()), pin!(other.health()));
    assert!(turn!(health).is_pending());
    assert_eq!(turn!(second), Poll::Ready(None), "one question at a time");
    device.run();
    host.complete();
    let Poll::Ready(Some(page)) = turn!(health) else { panic!("not told") };
    assert_eq!(health::parse(&page).unwrap().celsius, Some(35));
    assert!(turn!(read).is_pending());
    device.answer(&next(&device), 0);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));

    device.0.borrow_mut().refused = Some(0x02);
    let mut health = pin!(disk.health());
    assert!(turn!(health).is_pending());
    device.run();
    host.complete();
    assert_eq!(turn!(health), Poll::Ready(None));

    device.0.borrow_mut().refused = None;
    device.0.borrow_mut().ignored = Some(0x02);
    let mut health = pin!(disk.health());
    assert!(turn!(health).is_pending());
    device.run();
    (0..17).for_each(|_| host.tick());
    recover(&device, &host);
    assert_eq!((turn!(health), device.0.borrow().starts), (Poll::Ready(None), 2));
    device.0.borrow_mut().ignored = None;
    let mut health = pin!(disk.health());
    assert!(turn!(health).is_pending());
    device.run();
    host.complete();
    assert!(matches!(turn!(health), Poll::Ready(Some(_))));
}

#[test]
fn an_old_answer_is_not_seen_again() {
    let device = FakeNvme::new(8);
    let (host, disk, _) = disks(&device);
    let mut read = pin!(disk.read(0, 1));
    assert!(turn!(read).is_pending());
    host.complete();
    assert!(turn!(read).is_pending(), "nothing was posted: the phase is the old one");
    device.answer(&next(&device), 0);
    host.complete();
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn bogus_ids_and_doubled_answers_reset_the_controller_and_the_request_is_made_again() {
    for bogus in [3u16, 62, 63, 1000, 65535] {
        let device = FakeNvme::new(64);
        let (host, disk, _) = disks(&device);
        let mut read = pin!(disk.read(9, 1));
        assert!(turn!(read).is_pending());
        let command = next(&device);
        let id = if bogus == 3 { command.id() } else { bogus };
        device.post(1, id, 0, 0);
        device.post(1, id, 0, 0);
        host.complete();
        recover(&device, &host);
        assert_eq!(device.0.borrow().starts, 2, "id {bogus}");
        if id == command.id() {
            assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
            continue;
        }
        let command = next(&device);
        assert_eq!(command.number(40, 8), 9);
        device.answer(&command, 0);
        host.complete();
        assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
    }
}

#[test]
fn a_medium_error_is_an_error_of_that_request_alone() {
    let device = FakeNvme::new(64);
    let (host, disk, _) = disks(&device);
    let (mut bad, mut good) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(bad).is_pending());
    assert!(turn!(good).is_pending());
    let (first, second) = (next(&device), next(&device));
    device.answer(&first, 0x4281);
    device.answer(&second, 0);
    host.complete();
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 1, count: 1 })));
    assert!(matches!(turn!(good), Poll::Ready(Ok(_))));
    assert_eq!(device.0.borrow().starts, 1);
}

#[test]
fn a_controller_that_fails_or_is_pulled_out_does_not_hang_its_disks() {
    for (status, expected_starts) in [(3u32, 2), (u32::MAX, 1)] {
        let device = FakeNvme::new(64);
        let (host, disk, _) = disks(&device);
        let mut read = pin!(disk.read(1, 1));
        assert!(turn!(read).is_pending());
        device.registers().write32(register::STATUS, status);
        if status == u32::MAX {
            device.registers().write32(register::CONFIGURATION, u32::MAX);
            device.0.borrow_mut().stuck = true;
        }
        host.tick();
        recover(&device, &host);
        assert_eq!(device.0.borrow().starts, expected_starts);
        if status == u32::MAX {
            assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone)));
        } else {
            device.answer(&next(&device), 0);
            host.complete();
            assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
        }
    }
}

#[test]
fn controllers_that_cannot_be_brought_up_are_refused_in_time() {
    let failure = |change: &dyn Fn(&FakeNvme)| {
        let device = FakeNvme::new(64);
        change(&device);
        open(&device, 2).err().unwrap()
    };
    assert_eq!(failure(&|device| device.0.borrow_mut().stuck = true), Problem::Slow("start"));
    assert_eq!(failure(&|device| device.0.borrow_mut().fatal = true), Problem::Fatal(3));
    assert_eq!(
        failure(&|device| device.0.borrow_mut().refused = Some(0x05)),
        Problem::Refused { what: "create a queue", status: 0x4002 }
    );
    assert_eq!(
        failure(&|device| device.0.borrow_mut().ignored = Some(0x06)),
        Problem::Slow("identify itself")
    );
    let capabilities = |low: u32, high: u32| {
        failure(&|device| {
            device.registers().write32(0, low);
            device.registers().write32(4, high);
        })
    };
    assert_eq!(capabilities(u32::MAX, u32::MAX), Problem::Unplugged);
    assert!(matches!(capabilities(0, 1 << 5), Problem::Unusable { .. }), "one place");
    assert!(matches!(capabilities(63, 0), Problem::Unusable { .. }), "no commands for disks");
    assert!(matches!(capabilities(63, 1 << 5 | 15), Problem::Unusable { .. }), "doorbells far outside");
}
