//! One port of a controller, and the disk there.
//!
//! Knows a port's registers (AHCI 1.3.1, section 3.3), which commands may be with the device together, and how a port
//! is brought back after an error. Must not know the other ports.
//!
//! Queued commands run together; a flush, or any command of a disk that has no queue, runs alone: it waits until the
//! queued ones have ended, and none begins before it has. So commands wait here, in order, until they may be issued.

use super::command::{Command, PortMemory, SLOTS, failed_slot};
use super::identify::Identity;
use super::queueing::{Doubt, Queueing};
use crate::drive::{Engine, Kind, Problem, Recovery, Verdict, Work, wait_until};
use crate::memory::mmio::Registers;
use alloc::string::String;
use core::mem::ManuallyDrop;
use core::sync::atomic::{Ordering, fence};
use core::time::Duration;
use heapless::Deque;

/// Offsets of registers.
pub(super) mod register {
    pub(in crate::ahci) const COMMANDS: usize = 0x00;
    pub(in crate::ahci) const RECEIVED: usize = 0x08;
    pub(in crate::ahci) const INTERRUPTS: usize = 0x10;
    pub(in crate::ahci) const INTERRUPTS_WANTED: usize = 0x14;
    pub(in crate::ahci) const CONTROL: usize = 0x18;
    pub(in crate::ahci) const TASK_FILE: usize = 0x20;
    pub(in crate::ahci) const SIGNATURE: usize = 0x24;
    pub(in crate::ahci) const LINK: usize = 0x28;
    pub(in crate::ahci) const LINK_CONTROL: usize = 0x2c;
    pub(in crate::ahci) const LINK_ERRORS: usize = 0x30;
    pub(in crate::ahci) const QUEUED: usize = 0x34;
    pub(in crate::ahci) const ISSUED: usize = 0x38;
}

/// Start, spin up, power on, receive; and whether commands, and receiving, still run.
const CONTROL_START: u32 = 1;
const CONTROL_POWER: u32 = 1 << 1 | 1 << 2;
const CONTROL_RECEIVE: u32 = 1 << 4;
const CONTROL_RECEIVING: u32 = 1 << 14;
const CONTROL_RUNNING: u32 = 1 << 15;
/// Busy, or wanting data.
const TASK_FILE_BUSY: u32 = 1 << 7 | 1 << 3;
const TASK_FILE_ERROR: u32 = 1;
/// A device is there and talks.
const LINK_UP: u32 = 3;
const SIGNATURE_DISK: u32 = 0x0101;

/// Errors of the device, the bus, the interface.
const INTERRUPTS_ERROR: u32 = 1 << 30 | 1 << 29 | 1 << 28 | 1 << 27;
/// The link came or went.
const INTERRUPTS_LINK: u32 = 1 << 22 | 1 << 6;
/// Four kinds of messages that end a command.
const INTERRUPTS_DONE: u32 = 0xf;
const NOBODY: u32 = u32::MAX;

/// How long the port may take to stop, by the standard half a second.
const STOP_LIMIT: Duration = Duration::from_millis(600);
const LINK_LIMIT: Duration = Duration::from_secs(2);
/// Disks of old have to get to speed.
const READY_LIMIT: Duration = Duration::from_secs(12);
const QUESTION_LIMIT: Duration = Duration::from_secs(10);

/// A way to the registers of a port.
pub(crate) trait PortRegisters {
    /// Reads a register of the port.
    fn read(&self, at: usize) -> u32;
    /// Writes a register of the port.
    fn write(&self, at: usize, value: u32);
    /// Tells the controller that this port's interrupts have been seen.
    fn acknowledge(&self);
}

/// A port of a controller on PCI.
pub(crate) struct MappedPort {
    pub(super) port: Registers,
    pub(super) controller: Registers,
    pub(super) number: u8,
}

impl PortRegisters for MappedPort {
    fn read(&self, at: usize) -> u32 {
        self.port.read32(at)
    }

    fn write(&self, at: usize, value: u32) {
        self.port.write32(at, value);
    }

    fn acknowledge(&self) {
        self.controller.write32(super::INTERRUPTS, 1 << self.number);
    }
}

/// A port with a disk.
pub(crate) struct Port<R: PortRegisters> {
    registers: R,
    /// Kept for ever if the port cannot be stopped.
    memory: ManuallyDrop<PortMemory>,
    is_stopped: bool,
    /// Whether the controller reaches all memory.
    is_wide: bool,
    depth: u16,
    queueing: Queueing,
    has_logs: bool,
    has_smart: bool,
    /// What the log calls the disk.
    serial: String,
    waiting: Deque<Waiting, SLOTS>,
    /// With the device, a bit for each slot: queued ones, and the only one of another kind.
    queued: u32,
    single: u32,
    /// Ended, and not yet told of.
    done: u32,
    /// Something failed since the port was started.
    has_failed: bool,
}

#[derive(Clone, Copy)]
struct Waiting {
    slot: u16,
    queued: bool,
}

/// What was found at a port.
pub(crate) struct FoundDisk<R: PortRegisters> {
    pub(crate) port: Port<R>,
    pub(crate) identity: Identity,
}

impl<R: PortRegisters> Port<R> {
    /// Brings up the port and asks what is there; `None` if it is no disk. `slots`: commands that the controller takes.
    pub(super) async fn open(
        registers: R,
        slots: u16,
        can_queue: bool,
        is_wide: bool,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Option<FoundDisk<R>>, Problem> {
        let mut port = Port {
            registers,
            memory: ManuallyDrop::new(PortMemory::allocate().ok_or(Problem::Memory)?),
            // Firmware may have used the port, but not with our memory.
            is_stopped: true,
            is_wide,
            depth: slots.clamp(1, SLOTS as u16),
            queueing: Queueing::new(false),
            has_logs: false,
            has_smart: false,
            serial: String::new(),
            waiting: Deque::new(),
            queued: 0,
            single: 0,
            done: 0,
            has_failed: false,
        };
        if port.registers.read(register::LINK) & 0xf == 0 {
            return Ok(None);
        }
        let found = port.explore(pause).await;
        match found {
            Ok(Some(identity)) => {
                port.queueing = Queueing::new(can_queue && identity.queue_depth > 0);
                (port.has_logs, port.has_smart) = (identity.has_logs, identity.has_smart);
                port.serial.clone_from(&identity.serial);
                if port.queueing.is_on() {
                    port.depth = port.depth.min(identity.queue_depth);
                }
                Ok(Some(FoundDisk { port, identity }))
            }
            other => {
                // Its drop keeps the memory if this fails.
                let _ = port.stop(pause).await;
                other.map(|_| None)
            }
        }
    }

    async fn explore(&mut self, pause: &impl AsyncFn(Duration)) -> Result<Option<Identity>, Problem> {
        self.stop(pause).await?;
        self.start(pause).await?;
        if self.registers.read(register::SIGNATURE) != SIGNATURE_DISK {
            return Ok(None);
        }
        self.ask(&Command::identify(), "identify itself", pause).await?;
        Identity::parse(&self.memory.answer()).map(Some)
    }

    /// Stops commands, and receiving: the port touches no memory from here on.
    async fn stop(&mut self, pause: &impl AsyncFn(Duration)) -> Result<(), Problem> {
        let control = self.registers.read(register::CONTROL);
        if control == NOBODY {
            self.is_stopped = true;
            return Err(Problem::Unplugged);
        }
        let registers = &self.registers;
        let is_off = |bits: u32| registers.read(register::CONTROL) & bits == 0;
        registers.write(register::CONTROL, control & !CONTROL_START);
        if !wait_until(STOP_LIMIT, pause, || is_off(CONTROL_RUNNING)).await {
            return Err(Problem::Slow("stop"));
        }
        registers.write(register::CONTROL, control & !(CONTROL_START | CONTROL_RECEIVE));
        if !wait_until(STOP_LIMIT, pause, || is_off(CONTROL_RECEIVING)).await {
            return Err(Problem::Slow("stop receiving"));
        }
        self.is_stopped = true;
        Ok(())
    }

    /// Starts a port that is stopped, without commands.
    async fn start(&mut self, pause: &impl AsyncFn(Duration)) -> Result<(), Problem> {
        let registers = &self.registers;
        let [commands, received] = self.memory.addresses();
        for (at, address) in [(register::COMMANDS, commands), (register::RECEIVED, received)] {
            if !self.is_wide && address >> 32 != 0 {
                return Err(Problem::Memory);
            }
            registers.write(at, address as u32);
            registers.write(at + 4, (address >> 32) as u32);
        }
        registers.write(register::LINK_ERRORS, NOBODY);
        registers.write(register::INTERRUPTS, NOBODY);
        self.is_stopped = false;
        let control = registers.read(register::CONTROL) | CONTROL_POWER | CONTROL_RECEIVE;
        registers.write(register::CONTROL, control);
        if !wait_until(LINK_LIMIT, pause, || registers.read(register::LINK) & 0xf == LINK_UP).await {
            return Err(Problem::Unplugged);
        }
        if !wait_until(READY_LIMIT, pause, || registers.read(register::TASK_FILE) & TASK_FILE_BUSY == 0).await
        {
            return Err(Problem::Slow("become ready"));
        }
        registers.write(register::LINK_ERRORS, NOBODY);
        registers.write(register::CONTROL, control | CONTROL_START);
        registers.write(register::INTERRUPTS_WANTED, INTERRUPTS_DONE | INTERRUPTS_ERROR | INTERRUPTS_LINK);
        (self.queued, self.single, self.done, self.has_failed) = (0, 0, 0, false);
        self.waiting.clear();
        Ok(())
    }

    /// Resets the link, and with it the device (section 10.4.2). The port is stopped.
    async fn reset_link(&mut self, pause: &impl AsyncFn(Duration)) {
        let control = self.registers.read(register::LINK_CONTROL) & !0xf;
        self.registers.write(register::LINK_CONTROL, control | 1);
        pause(Duration::from_millis(2)).await;
        self.registers.write(register::LINK_CONTROL, control);
        pause(Duration::from_millis(1)).await;
    }

    /// One question whose answer has 512 bytes, while nothing else is under way.
    async fn ask(
        &mut self,
        command: &Command,
        what: &'static str,
        pause: &impl AsyncFn(Duration),
    ) -> Result<(), Problem> {
        let place = self.memory.answer_place();
        self.memory.put(0, command, place, false);
        fence(Ordering::SeqCst);
        self.registers.write(register::ISSUED, 1);
        let (mut interrupts, registers) = (0, &self.registers);
        let ended = wait_until(QUESTION_LIMIT, pause, || {
            interrupts |= registers.read(register::INTERRUPTS);
            registers.read(register::ISSUED) & 1 == 0 || interrupts & INTERRUPTS_ERROR != 0
        })
        .await;
        fence(Ordering::SeqCst);
        let task_file = registers.read(register::TASK_FILE);
        registers.write(register::INTERRUPTS, interrupts);
        registers.acknowledge();
        if !ended {
            return Err(Problem::Slow(what));
        }
        if interrupts & INTERRUPTS_ERROR != 0 || task_file & TASK_FILE_ERROR != 0 {
            return Err(Problem::Refused { what, status: task_file });
        }
        // Less than all would leave the answer of before.
        if self.memory.moved(0) < place.1 { Err(Problem::Slow(what)) } else { Ok(()) }
    }

    /// Gives to the device what may be with it now.
    fn issue(&mut self) {
        while let Some(next) = self.waiting.front().copied() {
            let fits = if next.queued { self.single == 0 } else { self.single | self.queued == 0 };
            if !fits {
                return;
            }
            let _ = self.waiting.pop_front();
            let bit = 1u32 << next.slot;
            // The command, its table and its data lie in memory before the controller looks.
            fence(Ordering::SeqCst);
            if next.queued {
                self.queued |= bit;
                self.registers.write(register::QUEUED, bit);
            } else {
                self.single |= bit;
                self.queueing.ran_alone();
            }
            self.registers.write(register::ISSUED, bit);
        }
    }

    /// Takes note of what has ended.
    fn look(&mut self) -> Result<(), Problem> {
        let interrupts = self.registers.read(register::INTERRUPTS);
        if interrupts == NOBODY {
            return Err(Problem::Unplugged);
        }
        if interrupts != 0 {
            self.registers.write(register::INTERRUPTS, interrupts);
            self.registers.acknowledge();
        }
        // What ends after this look interrupts once more.
        let issued = self.registers.read(register::ISSUED);
        let queued = self.registers.read(register::QUEUED) | issued;
        // An error is told no later than the bit of the command goes, so it is seen here.
        let errors = (interrupts | self.registers.read(register::INTERRUPTS)) & INTERRUPTS_ERROR;
        self.has_failed |= errors != 0;
        // The data were written before the bits went.
        fence(Ordering::SeqCst);
        self.done = self.queued & !queued;
        if !self.has_failed {
            let alone = self.single & !issued;
            self.done |= alone;
            let given_up = self.queueing.succeeded_alone(alone);
            self.tell(given_up);
        }
        self.queued &= !self.done;
        self.single &= !self.done;
        if self.done == 0 && self.has_failed {
            return Err(Problem::Command(self.registers.read(register::TASK_FILE)));
        }
        if interrupts & INTERRUPTS_LINK != 0 { self.check_link() } else { Ok(()) }
    }

    fn check_link(&self) -> Result<(), Problem> {
        match self.registers.read(register::LINK) {
            link if link & 0xf == LINK_UP && link != NOBODY => Ok(()),
            _ => Err(Problem::Unplugged),
        }
    }

    /// Says why the queue is given up, if it is.
    fn tell(&self, given_up: Option<Doubt>) {
        if let Some(doubt) = given_up {
            let serial = &self.serial;
            log::warn!("ahci disk {serial}: it {doubt}; from now on it gets one command at a time");
        }
    }

    /// The slot to blame, if the error can be only that one's: it ran alone.
    fn blamed_alone(&self) -> Option<u16> {
        (self.single != 0).then(|| self.single.trailing_zeros() as u16)
    }

    /// Brings the port back without a reset of the device, if that can be done: then its cache is as it was.
    async fn recover_gently(&mut self, pause: &impl AsyncFn(Duration)) -> Option<Recovery> {
        let is_up = self.registers.read(register::LINK) & 0xf == LINK_UP;
        let is_idle = self.registers.read(register::TASK_FILE) & TASK_FILE_BUSY == 0;
        let (alone, queued) = (self.blamed_alone(), self.queued);
        if !is_up || !is_idle || !self.has_failed || (alone.is_none() && !self.has_logs) {
            return None;
        }
        self.start(pause).await.ok()?;
        if alone.is_some() {
            return Some(Recovery::Good { blamed: alone, is_cache_kept: true });
        }
        self.ask(&Command::read_error_log(), "show its error log", pause).await.ok()?;
        let blamed = failed_slot(&self.memory.answer()).filter(|slot| queued >> slot & 1 != 0)?;
        self.queueing.blame(blamed);
        Some(Recovery::Good { blamed: Some(blamed), is_cache_kept: true })
    }
}

impl<R: PortRegisters> Engine for Port<R> {
    fn depth(&self) -> usize {
        self.depth.into()
    }

    fn submit(&mut self, slot: u16, work: &Work) -> bool {
        let place = work.place();
        if !self.is_wide && place.0.saturating_add(place.1 as u64) > 1 << 32 {
            return false;
        }
        if work.kind == Kind::Health && !self.has_smart {
            return false;
        }
        let queued = self.queueing.wants(slot, work);
        let Some(command) = Command::of(work, slot, queued) else { return false };
        let place = if work.kind == Kind::Flush { (0, 0) } else { place };
        if !self.memory.put(slot, &command, place, work.kind == Kind::Write) {
            return false;
        }
        let waits = self.waiting.push_back(Waiting { slot, queued }).is_ok();
        self.issue();
        waits
    }

    fn complete(&mut self) -> Result<Option<(u16, Verdict)>, Problem> {
        if self.done == 0 {
            self.look()?;
        }
        if self.done == 0 {
            self.issue();
            return Ok(None);
        }
        let slot = self.done.trailing_zeros() as u16;
        self.done &= self.done - 1;
        Ok(Some((slot, Verdict::Done)))
    }

    fn examine(&mut self) -> Result<(), Problem> {
        self.queueing.tick();
        self.check_link()
    }

    async fn recover(&mut self, pause: &impl AsyncFn(Duration)) -> Recovery {
        let (had_queued, has_failed) = (self.queued != 0, self.has_failed);
        let stopped = self.stop(pause).await;
        if stopped == Err(Problem::Unplugged) {
            return Recovery::Stopped(Problem::Unplugged);
        }
        if stopped.is_ok() {
            if let Some(recovery) = self.recover_gently(pause).await {
                return recovery;
            }
            let _ = self.stop(pause).await;
        }
        // Whose fault it was is not known: one after the other, then, for a while.
        self.queueing.isolate();
        if had_queued && self.check_link().is_ok() {
            let doubt = if has_failed { Doubt::Unexplained } else { Doubt::Silence };
            let given_up = self.queueing.doubt(doubt);
            self.tell(given_up);
        }
        self.reset_link(pause).await;
        let back = match self.stop(pause).await {
            Ok(()) => self.start(pause).await,
            Err(problem) => Err(problem),
        };
        match back {
            Ok(()) => Recovery::Good { blamed: None, is_cache_kept: false },
            Err(problem) => {
                let stopped = self.stop(pause).await.is_ok() || self.is_stopped;
                if stopped { Recovery::Stopped(problem) } else { Recovery::Lost(problem) }
            }
        }
    }
}

impl<R: PortRegisters> Drop for Port<R> {
    fn drop(&mut self) {
        if self.is_stopped {
            // SAFETY: dropped here alone, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
