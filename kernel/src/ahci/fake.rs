//! A disk at a port, in memory: its registers do what the standard says at once, commands end as a test has them end,
//! truly, wrongly or never.

use super::command::ANSWER_LEN;
use super::identify::tests::answer;
use super::port::{PortRegisters, register};
use super::{FoundDisk, Port};
use crate::drive::{Drive, Host, Problem};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::pin;
use core::ptr;
use core::task::{Context, Poll, Waker};

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
pub(super) use turn;

const START: u32 = 1;
const TASK_FILE_ERROR: u32 = 1 << 30;

/// The registers, and what a test sets.
pub(super) struct State {
    registers: [u32; 32],
    pub(super) identity: [u8; ANSWER_LEN],
    /// The slot that the log of errors names; without, there is no log.
    pub(super) log: Option<u8>,
    /// Does not stop, or does not identify itself.
    pub(super) stuck: bool,
    pub(super) mute: bool,
    pub(super) link_resets: usize,
    issued: Vec<u16>,
}

#[derive(Clone)]
pub(super) struct Fake(pub(super) Rc<RefCell<State>>);

pub(super) fn read(address: u64, len: usize) -> Vec<u8> {
    let byte = |at: u64| {
        let place = ptr::with_exposed_provenance::<u8>(at as usize);
        // SAFETY: tests read only where the driver said that its queues and buffers are.
        unsafe { place.read_volatile() }
    };
    (address..).take(len).map(byte).collect()
}

pub(super) fn write(address: u64, bytes: &[u8]) {
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
    pub(super) fn new(depth: u16) -> Fake {
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

    pub(super) fn set(&self, at: usize, change: impl Fn(u32) -> u32) {
        let mut state = self.0.borrow_mut();
        state.registers[at / 4] = change(state.registers[at / 4]);
    }

    /// Answers questions that are not about sectors.
    pub(super) fn run(&self) {
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

    pub(super) fn fis(&self, slot: u16) -> Vec<u8> {
        read(self.table(slot), 20)
    }

    /// Where the slot's memory lies.
    pub(super) fn place(&self, slot: u16) -> (u64, usize) {
        let stretch = read(self.table(slot) + 0x80, 16);
        (number(&stretch[..8]), number(&stretch[12..]) as usize + 1)
    }

    /// First sector of the slot's command.
    pub(super) fn first(&self, slot: u16) -> u64 {
        let fis = self.fis(slot);
        number(&fis[4..7]) | number(&fis[8..11]) << 24
    }

    /// Commands issued since the last look.
    pub(super) fn issued(&self) -> Vec<u16> {
        core::mem::take(&mut self.0.borrow_mut().issued)
    }

    pub(super) fn finish(&self, slot: u16) {
        self.set(register::TASK_FILE, |_| 0x50);
        self.set(register::ISSUED, |bits| bits & !(1 << slot));
        self.set(register::QUEUED, |bits| bits & !(1 << slot));
        self.set(register::INTERRUPTS, |bits| bits | 1 << 3);
    }

    /// The command fails; of one that is not queued the bit goes, as some controllers have it.
    pub(super) fn fail(&self, slot: u16) {
        self.set(register::ISSUED, |bits| bits & !(1 << slot));
        self.set(register::TASK_FILE, |_| 0x4041);
        self.set(register::INTERRUPTS, |bits| bits | TASK_FILE_ERROR);
    }
}

pub(super) fn open(device: &Fake, slots: u16) -> Result<Option<FoundDisk<Fake>>, Problem> {
    open_on(device, slots, true)
}

/// Behind a controller that queues commands, or does not.
pub(super) fn open_on(
    device: &Fake,
    slots: u16,
    can_queue: bool,
) -> Result<Option<FoundDisk<Fake>>, Problem> {
    let opened = turn!(pin!(Port::open(device.clone(), slots, can_queue, true, pause!(device))));
    let Poll::Ready(opened) = opened else { panic!("not a step was taken") };
    opened
}

pub(super) type FakeHost = Rc<Host<Port<Fake>>>;

pub(super) fn disk(depth: u16) -> (Fake, FakeHost, Drive<Port<Fake>>) {
    let device = Fake::new(depth);
    let found = open(&device, 32).unwrap().unwrap();
    let host = Host::new(found.port);
    let disk = host.add("ahci".into(), found.identity.geometry);
    (device, host, disk)
}

pub(super) fn tick(device: &Fake, host: &Host<Port<Fake>>) {
    host.tick();
    assert!(turn!(pin!(host.recover(pause!(device)))).is_ready());
}
