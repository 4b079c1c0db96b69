//! A controller in memory for tests: it looks at its registers and queues when it is run, and answers as a test
//! tells it, truly or not.

use super::register;
use crate::memory::mmio::Registers;
use crate::memory::shared::SharedMemory;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ptr;

/// A command that the controller took.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The queue that it came from.
    pub(super) queue: usize,
    pub(super) bytes: Vec<u8>,
}

impl Taken {
    pub(super) fn number(&self, at: usize, len: usize) -> u64 {
        self.bytes[at..at + len].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
    }
    pub(super) fn id(&self) -> u16 {
        self.number(2, 2) as u16
    }
}

#[derive(Clone, Copy, Default)]
struct Queue {
    submissions: u64,
    completions: u64,
    size: u16,
    seen: u16,
    posted: usize,
}

/// What a test sets and looks at.
pub(super) struct State {
    registers: SharedMemory,
    queues: [Queue; 3],
    enabled: bool,
    /// Commands for I/O that have not been answered.
    pub(super) taken: Vec<Taken>,
    /// Does not become ready, or never stops.
    pub(super) stuck: bool,
    /// Becomes ready and fatal at once.
    pub(super) fatal: bool,
    /// Opcode of administration that is refused, and one that gets no answer.
    pub(super) refused: Option<u8>,
    pub(super) ignored: Option<u8>,
    /// Pairs of queues that it has.
    pub(super) pairs: u32,
    /// Creates no queue of a higher number than this.
    pub(super) queue_max: u32,
    /// The interrupt message of each queue, where it has one.
    pub(super) messages: [Option<u16>; 3],
    pub(super) starts: usize,
}

#[derive(Clone)]
pub(super) struct FakeNvme(pub(super) Rc<RefCell<State>>);

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

impl FakeNvme {
    /// Queues of up to `entries`; half a second to become ready.
    pub(super) fn new(entries: u16) -> FakeNvme {
        let registers = SharedMemory::allocate(0x2000).unwrap();
        registers.window().write32(register::CAPABILITIES, u32::from(entries - 1) | 1 << 24);
        registers.window().write32(register::CAPABILITIES + 4, 1 << 5);
        FakeNvme(Rc::new(RefCell::new(State {
            registers,
            queues: [Queue::default(); 3],
            enabled: false,
            taken: Vec::new(),
            stuck: false,
            fatal: false,
            refused: None,
            ignored: None,
            pairs: 2,
            queue_max: 2,
            messages: [None; 3],
            starts: 0,
        })))
    }

    pub(super) fn registers(&self) -> Registers {
        *self.0.borrow().registers.window()
    }

    /// Does what is due.
    pub(super) fn run(&self) {
        self.follow_enable();
        let queues = self.0.borrow().queues.len();
        for queue in 0..queues {
            while let Some(taken) = self.take(queue) {
                if queue == 0 { self.administer(&taken) } else { self.0.borrow_mut().taken.push(taken) }
            }
        }
    }

    fn follow_enable(&self) {
        let mut state = self.0.borrow_mut();
        let registers = *state.registers.window();
        let wanted = registers.read32(register::CONFIGURATION) & 1 != 0;
        if wanted == state.enabled || state.stuck {
            return;
        }
        state.enabled = wanted;
        state.taken.clear();
        state.queues = [Queue::default(); 3];
        (0..6).for_each(|doorbell| registers.write32(register::DOORBELLS + 4 * doorbell, 0));
        if wanted {
            state.starts += 1;
            let wide = |at| u64::from(registers.read32(at)) | u64::from(registers.read32(at + 4)) << 32;
            state.queues[0] = Queue {
                submissions: wide(register::ADMIN_SUBMISSIONS),
                completions: wide(register::ADMIN_COMPLETIONS),
                size: (registers.read32(register::ADMIN_QUEUE_SIZES) & 0xfff) as u16 + 1,
                ..Queue::default()
            };
        }
        let status = u32::from(wanted) | if wanted && state.fatal { 2 } else { 0 };
        registers.write32(register::STATUS, status);
    }

    fn take(&self, number: usize) -> Option<Taken> {
        let mut state = self.0.borrow_mut();
        let tail = state.registers.window().read32(register::DOORBELLS + 8 * number);
        let queue = &mut state.queues[number];
        if queue.size == 0 || u32::from(queue.seen) == tail {
            return None;
        }
        let bytes = read(queue.submissions + 64 * u64::from(queue.seen), 64);
        queue.seen = (queue.seen + 1) % queue.size;
        Some(Taken { queue: number, bytes })
    }

    /// Answers a command.
    pub(super) fn answer(&self, command: &Taken, status: u16) {
        self.post(command.queue, command.id(), status, 0);
    }

    /// Puts an answer into a queue, with any id and status.
    pub(super) fn post(&self, number: usize, id: u16, status: u16, result: u32) {
        let (entry, phase) = {
            let queue = &mut self.0.borrow_mut().queues[number];
            let turn = queue.posted / usize::from(queue.size);
            let entry = queue.completions + 16 * (queue.posted % usize::from(queue.size)) as u64;
            queue.posted += 1;
            (entry, u16::from(turn.is_multiple_of(2)))
        };
        write(entry, &result.to_le_bytes());
        write(entry + 8, &0u16.to_le_bytes());
        write(entry + 10, &(number as u16).to_le_bytes());
        write(entry + 12, &id.to_le_bytes());
        write(entry + 14, &(status << 1 | phase).to_le_bytes());
    }

    fn administer(&self, command: &Taken) {
        let (opcode, words) = (command.bytes[0], [40, 44].map(|at| command.number(at, 4) as u32));
        let pages = command.number(24, 8);
        let (refused, ignored, pairs) = {
            let state = self.0.borrow();
            (state.refused, state.ignored, state.pairs)
        };
        if ignored == Some(opcode) {
            return;
        }
        let is_beyond = matches!(opcode, 1 | 5) && words[0] & 0xffff > self.0.borrow().queue_max;
        if refused == Some(opcode) || is_beyond {
            return self.post(0, command.id(), 0x4002, 0);
        }
        let mut result = 0;
        let place = |queue: &mut State| {
            let number = words[0] as usize & 0xffff;
            queue.queues[number].size = (words[0] >> 16) as u16 + 1;
            number
        };
        match opcode {
            0x01 => {
                let mut state = self.0.borrow_mut();
                let number = place(&mut state);
                state.queues[number].submissions = pages;
            }
            0x05 => {
                let mut state = self.0.borrow_mut();
                let number = place(&mut state);
                state.queues[number].completions = pages;
                state.messages[number] = (words[1] & 2 != 0).then_some((words[1] >> 16) as u16);
            }
            0x06 => write(pages, &self.identify(words[0], command.number(4, 4) as u32)),
            0x02 => {
                assert_eq!((words[0], words[1]), (127 << 16 | 2, 0), "the page of its health, whole");
                let mut page = [0; 512];
                (page[1], page[2]) = (0x34, 0x01);
                write(pages, &page);
            }
            0x09 => result = (pairs - 1) << 16 | (pairs - 1),
            _ => return self.post(0, command.id(), 1, 0),
        }
        self.post(0, command.id(), 0, result);
    }

    /// Two namespaces, 1 and 5, with sectors of 512 and of 4096 bytes.
    fn identify(&self, what: u32, namespace: u32) -> Vec<u8> {
        let mut bytes = alloc::vec![0; 4096];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        match what {
            0 => {
                put(0, &1000u64.to_le_bytes());
                put(130, &[if namespace == 5 { 12 } else { 9 }]);
            }
            1 => {
                put(4, b"SERIAL              ");
                put(24, b"MODEL ");
                put(77, &[2]);
                put(525, &[1]);
            }
            _ => {
                put(0, &[1, 0, 0, 0, 5]);
            }
        }
        bytes
    }

    /// What the memory of a command holds, and where: by its two pages or its list.
    pub(super) fn memory(command: &Taken, len: usize) -> Vec<u64> {
        let (first, second) = (command.number(24, 8), command.number(32, 8));
        let mut pages = alloc::vec![first];
        let rest = len.saturating_sub(4096 - (first as usize & 4095)).div_ceil(4096);
        match rest {
            0 => {}
            1 => pages.push(second),
            _ => {
                for entry in read(second, 8 * rest).chunks_exact(8) {
                    pages.push(entry.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)));
                }
            }
        }
        pages
    }

    /// Fills the memory of a read with `byte`.
    pub(super) fn fill(command: &Taken, len: usize, byte: u8) {
        let mut left = len;
        for page in Self::memory(command, len) {
            let here = left.min(4096 - (page as usize & 4095));
            write(page, &alloc::vec![byte; here]);
            left -= here;
        }
        assert_eq!(left, 0);
    }

    /// The bytes of a write.
    pub(super) fn content(command: &Taken, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for page in Self::memory(command, len) {
            bytes.extend(read(page, (len - bytes.len()).min(4096 - (page as usize & 4095))));
        }
        bytes
    }
}
