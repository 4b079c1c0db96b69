//! A port and its disk against a device in memory that answers truly, wrongly or never.

use super::command::ANSWER_LEN;
use super::identify::tests::answer;
use super::port::{PortRegisters, register};
use super::*;
use crate::drive::{Drive, Host};
use alloc::rc::Rc;
use bytes::Bytes;
use core::cell::RefCell;
use core::pin::pin;
use core::ptr;
use core::task::{Context, Poll, Waker};
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

const START: u32 = 1;
const TASK_FILE_ERROR: u32 = 1 << 30;

/// The registers, and what a test sets.
struct State {
    registers: [u32; 32],
    identity: [u8; ANSWER_LEN],
    /// The slot that the log of errors names; without, there is no log.
    log: Option<u8>,
    /// Does not stop, or does not identify itself.
    stuck: bool,
    mute: bool,
    link_resets: usize,
    issued: Vec<u16>,
}

#[derive(Clone)]
struct Fake(Rc<RefCell<State>>);

fn read(address: u64, len: usize) -> Vec<u8> {
    let byte = |at: u64| {
        let place = ptr::with_exposed_provenance::<u8>(at as usize);
        // SAFETY: tests read only where the driver said that its queues and buffers are.
        unsafe { place.read_volatile() }
    };
    (address..).take(len).map(byte).collect()
}

fn write(address: u64, bytes: &[u8]) {
    for (at, byte) in (address as usize..).zip(bytes) {
        // SAFETY: tests write only where the driver let them.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(at).write_volatile(*byte) };
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

impl PortRegisters for Fake {
    fn read(&self, at: usize) -> u32 {
        self.0.borrow().registers[at / 4]
    }

    fn write(&self, at: usize, value: u32) {
        let mut state = self.0.borrow_mut();
        let old = state.registers[at / 4];
        state.registers[at / 4] = match at {
            register::INTERRUPTS | register::LINK_ERRORS => old & !value,
            register::QUEUED | register::ISSUED => old | value,
            register::CONTROL if state.stuck => value | old & (1 << 15),
            // Running and receiving follow at once; a stop forgets all commands.
            register::CONTROL => {
                value & !(1 << 15 | 1 << 14) | (value & START) << 15 | (value & 1 << 4) << 10
            }
            register::LINK_CONTROL => {
                state.link_resets += usize::from(old & 1 == 1 && value & 1 == 0);
                value
            }
            _ => value,
        };
        if at == register::CONTROL && value & START == 0 {
            state.registers[register::QUEUED / 4] = 0;
            state.registers[register::ISSUED / 4] = 0;
        }
        if at == register::ISSUED {
            state.issued.push(value.trailing_zeros() as u16);
        }
    }

    fn acknowledge(&self) {}
}

impl Fake {
    fn new(depth: u16) -> Fake {
        let mut registers = [0; 32];
        registers[register::LINK / 4] = 0x123;
        registers[register::SIGNATURE / 4] = 0x101;
        registers[register::TASK_FILE / 4] = 0x50;
        Fake(Rc::new(RefCell::new(State {
            registers,
            identity: answer(1000, depth),
            log: None,
            stuck: false,
            mute: false,
            link_resets: 0,
            issued: Vec::new(),
        })))
    }

    fn set(&self, at: usize, change: impl Fn(u32) -> u32) {
        let mut state = self.0.borrow_mut();
        state.registers[at / 4] = change(state.registers[at / 4]);
    }

    /// Answers questions that are not about sectors.
    fn run(&self) {
        if self.read(register::ISSUED) & 1 == 0 || self.0.borrow().mute {
            return;
        }
        let opcode = self.fis(0)[2];
        let log = self.0.borrow().log;
        let bytes = match (opcode, log) {
            (0xec, _) => self.0.borrow().identity,
            (0x2f, Some(slot)) => {
                let mut log = [0; ANSWER_LEN];
                (log[0], log[2], log[511]) = (slot, 0x41, 0u8.wrapping_sub(slot + 0x41));
                log
            }
            (0x2f, None) => return self.fail(0),
            _ => return,
        };
        write(self.place(0).0, &bytes);
        write(self.header(0) + 4, &(ANSWER_LEN as u32).to_le_bytes());
        self.finish(0);
        self.0.borrow_mut().issued.clear();
    }

    fn header(&self, slot: u16) -> u64 {
        u64::from(self.read(0)) | u64::from(self.read(4)) << 32 | (u64::from(slot) * 32)
    }

    fn table(&self, slot: u16) -> u64 {
        number(&read(self.header(slot) + 8, 8))
    }

    fn fis(&self, slot: u16) -> Vec<u8> {
        read(self.table(slot), 20)
    }

    /// Where the slot's memory lies.
    fn place(&self, slot: u16) -> (u64, usize) {
        let stretch = read(self.table(slot) + 0x80, 16);
        (number(&stretch[..8]), number(&stretch[12..]) as usize + 1)
    }

    /// First sector of the slot's command.
    fn first(&self, slot: u16) -> u64 {
        let fis = self.fis(slot);
        number(&fis[4..7]) | number(&fis[8..11]) << 24
    }

    /// Commands issued since the last look.
    fn issued(&self) -> Vec<u16> {
        core::mem::take(&mut self.0.borrow_mut().issued)
    }

    fn finish(&self, slot: u16) {
        self.set(register::TASK_FILE, |_| 0x50);
        self.set(register::ISSUED, |bits| bits & !(1 << slot));
        self.set(register::QUEUED, |bits| bits & !(1 << slot));
        self.set(register::INTERRUPTS, |bits| bits | 1 << 3);
    }

    /// The command fails; of one that is not queued the bit goes, as some controllers have it.
    fn fail(&self, slot: u16) {
        self.set(register::ISSUED, |bits| bits & !(1 << slot));
        self.set(register::TASK_FILE, |_| 0x4041);
        self.set(register::INTERRUPTS, |bits| bits | TASK_FILE_ERROR);
    }
}

fn open(device: &Fake, slots: u16) -> Result<Option<FoundDisk<Fake>>, Problem> {
    let opened = turn!(pin!(Port::open(device.clone(), slots, true, true, pause!(device))));
    let Poll::Ready(opened) = opened else { panic!("not a step was taken") };
    opened
}

type FakeHost = Rc<Host<Port<Fake>>>;

fn disk(depth: u16) -> (Fake, FakeHost, Drive<Port<Fake>>) {
    let device = Fake::new(depth);
    let found = open(&device, 32).unwrap().unwrap();
    let host = Host::new(found.port);
    let disk = host.add("ahci".into(), found.identity.geometry);
    (device, host, disk)
}

fn tick(device: &Fake, host: &Host<Port<Fake>>) {
    host.tick();
    assert!(turn!(pin!(host.recover(pause!(device)))).is_ready());
}

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
        (slots.len(), device.fis(slots[0])[2], super::tests::read(start, len)),
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
fn the_log_tells_which_queued_command_failed_and_the_others_go_on() {
    let (device, host, disk) = disk(32);
    let (mut good, mut bad) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(good).is_pending());
    assert!(turn!(bad).is_pending());
    for _ in 0..12 {
        let issued = device.issued();
        if let Some(slot) = issued.iter().find(|slot| device.first(**slot) == 2) {
            device.0.borrow_mut().log = Some(*slot as u8);
            device.fail(*slot);
        }
        host.complete();
        tick(&device, &host);
    }
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 2, count: 1 })));
    assert_eq!((device.0.borrow().link_resets, disk.failed_flushes()), (0, 0));
    (0..32).for_each(|slot| device.finish(slot));
    host.complete();
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
