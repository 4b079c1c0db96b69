//! NVMe (NVM Express Base 1.4): disks on PCI of their own.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | `command` | commands, answers, lists of pages, as bytes | queues |
//! | `queue` | a pair of queues | what commands mean |
//! | `health` | how a controller says that it is | how it is asked |
//! | `identify` | what controllers and namespaces say of themselves | how they are asked |
//!
//! Knows how a controller is brought up, stopped, and used by an [`Engine`]. Must not know PCI, interrupts, time: it
//! gets registers, and a way to pause.
//!
//! All state is one processor's, so queues are not one for each processor: there is one for reads and one for writes and
//! flushes, where the controller gives two. It takes commands from both in turn (section 4.13, round robin), so a read
//! does not wait behind a long line of writes. A flush covers what was completed before it, whichever queue that went
//! through (section 6.8), and nobody flushes what he has not seen completed.
//!
//! Of the crates, nvme-driver 0.8 works only inside a framework of its own that waits by interrupts, so this is ours.

mod command;
#[cfg(test)]
mod fake;
pub(crate) mod health;
mod identify;
mod queue;
#[cfg(test)]
mod tests;

use crate::drive::{Engine, Kind, Problem, Recovery, Verdict, Work, wait_until};
use crate::memory::mmio::Registers;
use crate::memory::shared::SharedMemory;
use alloc::string::String;
use alloc::vec::Vec;
use command::{
    CREATE_COMPLETION_QUEUE, CREATE_SUBMISSION_QUEUE, Command, IDENTIFY, LIST_LEN, NUMBER_OF_QUEUES, PAGE,
    SET_FEATURES,
};
use core::mem::ManuallyDrop;
use core::time::Duration;
pub(crate) use identify::Namespace;
use identify::{
    CNS_ACTIVE_NAMESPACES, CNS_CONTROLLER, CNS_NAMESPACE, ControllerData, IDENTIFY_LEN, NAMESPACES_MAX,
    active_namespaces,
};
use queue::QueuePair;

/// Offsets of registers (section 3.1).
mod register {
    pub(super) const CAPABILITIES: usize = 0x00;
    pub(super) const CONFIGURATION: usize = 0x14;
    pub(super) const STATUS: usize = 0x1c;
    pub(super) const ADMIN_QUEUE_SIZES: usize = 0x24;
    pub(super) const ADMIN_SUBMISSIONS: usize = 0x28;
    pub(super) const ADMIN_COMPLETIONS: usize = 0x30;
    pub(super) const DOORBELLS: usize = 0x1000;
}

const CONFIGURATION_ENABLE: u32 = 1;
/// Sizes of the entries of I/O queues, as powers of two: answers of 16 bytes, commands of 64.
const CONFIGURATION_ENTRIES: u32 = 4 << 20 | 6 << 16;
const STATUS_READY: u32 = 1;
const STATUS_FATAL: u32 = 2;
/// What is read where nobody answers.
const NOBODY: u32 = u32::MAX;
const CREATE_A_QUEUE: &str = "create a queue";

/// Registers that must be there for one pair of I/O queues with the closest doorbells.
pub(crate) const REGISTERS_LEN: u32 = 0x1010;
const ADMIN_SIZE: u16 = 16;
/// Places in each I/O queue; one command fewer fits.
const QUEUE_SIZE: u16 = 64;
/// In the queue for administration: the id of the question for its health, and of all others.
const HEALTH_ID: u16 = 1;
const ADMIN_ID: u16 = 0;
/// How long a command of administration may take.
const ADMIN_LIMIT: Duration = Duration::from_secs(10);
/// Pairs of I/O queues: for reads, and for the rest.
pub(crate) const QUEUES: u16 = 2;

/// A controller.
pub(crate) struct Controller {
    registers: Registers,
    /// Kept for ever if the controller cannot be stopped.
    memory: ManuallyDrop<QueueMemory>,
    /// It touches no memory.
    is_stopped: bool,
    /// It has been explored, and its queues are as many as there will be.
    is_known: bool,
    /// Interrupt messages that it may use.
    messages: u16,
    /// Namespaces in the order of units.
    namespaces: Vec<u32>,
    /// The slot of the question for its health, while it is with the queue for administration.
    health: Option<u16>,
    ready_limit: Duration,
}

/// All memory that the controller knows of by itself.
struct QueueMemory {
    admin: QueuePair,
    queues: Vec<QueuePair>,
    /// A list of pages for each slot.
    lists: SharedMemory,
    /// What Identify writes.
    answer: SharedMemory,
}

/// What a controller turned out to be.
pub(crate) struct Found {
    pub(crate) controller: Controller,
    pub(crate) serial: String,
    pub(crate) model: String,
    /// The disks; their places here are the numbers of units.
    pub(crate) namespaces: Vec<Namespace>,
}

impl Controller {
    /// Brings up the controller behind `registers`, and asks what it has. `messages`: so many interrupt messages it may
    /// send for answers, from message 0 on; each queue its own, as far as they go.
    pub(crate) async fn open(
        registers: Registers,
        messages: u16,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Found, Problem> {
        let mut controller = Self::prepare(registers, messages)?;
        let found = controller.explore(pause).await;
        match found {
            Ok((data, namespaces)) => {
                controller.is_known = true;
                controller.namespaces = namespaces.iter().map(|namespace| namespace.number).collect();
                Ok(Found { controller, serial: data.serial, model: data.model, namespaces })
            }
            Err(problem) => {
                controller.stop(pause).await.inspect_err(|_| log::error!("nvme: it cannot be stopped")).ok();
                Err(problem)
            }
        }
    }

    /// Reads what the controller can do, and takes memory for it.
    fn prepare(registers: Registers, messages: u16) -> Result<Controller, Problem> {
        let capabilities = [0, 4].map(|half| registers.read32(register::CAPABILITIES + half));
        if capabilities == [NOBODY; 2] {
            return Err(Problem::Unplugged);
        }
        let [low, high] = capabilities;
        let size = (u64::from(low & 0xffff) + 1).min(QUEUE_SIZE.into()) as u16;
        if size < 2 {
            return Err(Problem::Unusable { what: "the size of its queues", value: size.into() });
        }
        // The smallest page, and whether it knows the commands for disks.
        if high >> 16 & 0xf != 0 || high >> 5 & 1 == 0 {
            return Err(Problem::Unusable {
                what: "its capabilities",
                value: u64::from(high) << 32 | u64::from(low),
            });
        }
        let doorbell_step = 4usize << (high & 0xf);
        let doorbells = |number: u16| -> Option<[Registers; 2]> {
            let at = register::DOORBELLS + 2 * usize::from(number) * doorbell_step;
            Some([registers.part(at, 4)?, registers.part(at + doorbell_step, 4)?])
        };
        let no_room = Problem::Unusable { what: "the room for its doorbells", value: registers.len() as u64 };
        let pair = |number, size| {
            let doorbells = doorbells(number).ok_or(no_room)?;
            QueuePair::new(number, size, doorbells).ok_or(Problem::Memory)
        };
        // One must be there. A second one without room for its doorbells is left out.
        let mut queues = alloc::vec![pair(1, size)?];
        queues.extend((2..=QUEUES).map_while(|number| pair(number, size).ok()));
        let slots = queues.len() * usize::from(size - 1);
        let memory = QueueMemory {
            admin: pair(0, ADMIN_SIZE)?,
            queues,
            lists: SharedMemory::allocate(slots * LIST_LEN).ok_or(Problem::Memory)?,
            answer: SharedMemory::allocate(IDENTIFY_LEN).ok_or(Problem::Memory)?,
        };
        Ok(Controller {
            registers,
            memory: ManuallyDrop::new(memory),
            is_stopped: true,
            is_known: false,
            messages,
            namespaces: Vec::new(),
            health: None,
            ready_limit: Duration::from_millis(500) * (low >> 24).max(1),
        })
    }

    /// Brings it up, and asks for its namespaces.
    async fn explore(
        &mut self,
        pause: &impl AsyncFn(Duration),
    ) -> Result<(ControllerData, Vec<Namespace>), Problem> {
        match self.start(pause).await {
            Err(Problem::Refused { what: CREATE_A_QUEUE, .. }) if self.memory.queues.len() > 1 => {
                // It promised more than it gives.
                self.stop(pause).await?;
                self.memory.queues.truncate(1);
                self.start(pause).await?;
            }
            outcome => outcome?,
        }
        let bytes = self.identify(CNS_CONTROLLER, 0, "identify itself", pause).await?;
        let data = ControllerData::parse(&bytes, PAGE);
        let numbers = match self.identify(CNS_ACTIVE_NAMESPACES, 0, "list its namespaces", pause).await {
            Ok(bytes) => active_namespaces(&bytes),
            // Version 1.0 does not know the question.
            Err(Problem::Refused { .. }) => (1..=data.namespaces).take(NAMESPACES_MAX).collect(),
            Err(problem) => return Err(problem),
        };
        let mut namespaces = Vec::new();
        for number in numbers {
            let bytes = match self.identify(CNS_NAMESPACE, number, "identify a namespace", pause).await {
                Err(Problem::Refused { .. }) => continue,
                answer => answer?,
            };
            match Namespace::parse(number, &bytes, &data) {
                Ok(namespace) => namespaces.extend(namespace),
                Err(problem) => log::error!("nvme {}: namespace {number} {problem}", data.serial),
            }
        }
        Ok((data, namespaces))
    }

    async fn identify(
        &mut self,
        what: u32,
        namespace: u32,
        name: &'static str,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Vec<u8>, Problem> {
        let command = Command {
            opcode: IDENTIFY,
            namespace,
            pages: [self.memory.answer.address(), 0],
            words: [what, 0, 0],
        };
        self.administer(&command, name, pause).await?;
        let mut bytes = alloc::vec![0; IDENTIFY_LEN];
        self.memory.answer.copy_to(0, &mut bytes);
        Ok(bytes)
    }

    /// One command of administration, waited for.
    async fn administer(
        &mut self,
        command: &Command,
        what: &'static str,
        pause: &impl AsyncFn(Duration),
    ) -> Result<u32, Problem> {
        let admin = &mut self.memory.admin;
        if !admin.submit(ADMIN_ID, command) {
            return Err(Problem::Slow(what));
        }
        let mut answer = Ok(None);
        wait_until(ADMIN_LIMIT, pause, || {
            answer = admin.complete();
            answer != Ok(None)
        })
        .await;
        match answer? {
            Some(answer) if answer.status == 0 => Ok(answer.result),
            Some(answer) => Err(Problem::Refused { what, status: answer.status.into() }),
            None => Err(Problem::Slow(what)),
        }
    }

    fn status(&self) -> u32 {
        self.registers.read32(register::STATUS)
    }

    /// Stops it: it touches no memory from here on.
    async fn stop(&mut self, pause: &impl AsyncFn(Duration)) -> Result<(), Problem> {
        let configuration = self.registers.read32(register::CONFIGURATION);
        if configuration == NOBODY && self.status() == NOBODY {
            // Not on the bus any more, so without a way to memory.
            self.is_stopped = true;
            return Err(Problem::Unplugged);
        }
        self.registers.write32(register::CONFIGURATION, configuration & !CONFIGURATION_ENABLE);
        let stopped = wait_until(self.ready_limit, pause, || self.status() & STATUS_READY == 0).await;
        self.is_stopped = stopped;
        if stopped { Ok(()) } else { Err(Problem::Slow("stop")) }
    }

    /// Stops it if need be, and brings it up with empty queues.
    async fn start(&mut self, pause: &impl AsyncFn(Duration)) -> Result<(), Problem> {
        self.stop(pause).await?;
        let memory = &mut self.memory;
        memory.admin.forget();
        self.health = None;
        memory.queues.iter_mut().for_each(QueuePair::forget);
        let last = u32::from(ADMIN_SIZE - 1);
        self.registers.write32(register::ADMIN_QUEUE_SIZES, last << 16 | last);
        let [submissions, completions] = memory.admin.addresses();
        for (at, address) in
            [(register::ADMIN_SUBMISSIONS, submissions), (register::ADMIN_COMPLETIONS, completions)]
        {
            self.registers.write32(at, address as u32);
            self.registers.write32(at + 4, (address >> 32) as u32);
        }
        self.is_stopped = false;
        self.registers.write32(register::CONFIGURATION, CONFIGURATION_ENTRIES | CONFIGURATION_ENABLE);
        let settled = |status| status & (STATUS_READY | STATUS_FATAL) != 0;
        wait_until(self.ready_limit, pause, || settled(self.status())).await;
        match self.status() {
            NOBODY => Err(Problem::Unplugged),
            status if status & STATUS_FATAL != 0 => Err(Problem::Fatal(status)),
            status if status & STATUS_READY == 0 => Err(Problem::Slow("start")),
            _ => self.set_up_queues(pause).await,
        }
    }

    async fn set_up_queues(&mut self, pause: &impl AsyncFn(Duration)) -> Result<(), Problem> {
        let wanted = self.memory.queues.len() as u32 - 1;
        let command = Command {
            opcode: SET_FEATURES,
            words: [NUMBER_OF_QUEUES, wanted << 16 | wanted, 0],
            ..Command::default()
        };
        let given = self.administer(&command, "give queues", pause).await?;
        let pairs = (given & 0xffff).min(given >> 16) as usize + 1;
        if pairs < self.memory.queues.len() {
            // Whoever uses it counts on the queues that it had when it was found.
            if self.is_known {
                return Err(Problem::Unusable { what: "the number of its queues", value: given.into() });
            }
            self.memory.queues.truncate(pairs);
        }
        for at in 0..self.memory.queues.len() {
            let queue = &self.memory.queues[at];
            let [submissions, completions] = queue.addresses();
            let (number, size) = (u32::from(queue.number()), u32::from(queue.size() - 1) << 16);
            let message = (at as u32).min(u32::from(self.messages).saturating_sub(1));
            let interrupts = if self.messages > 0 { message << 16 | 2 } else { 0 };
            // Both lie in one piece.
            for (opcode, address, flags) in [
                (CREATE_COMPLETION_QUEUE, completions, interrupts | 1),
                (CREATE_SUBMISSION_QUEUE, submissions, number << 16 | 1),
            ] {
                let command =
                    Command { opcode, namespace: 0, pages: [address, 0], words: [size | number, flags, 0] };
                self.administer(&command, CREATE_A_QUEUE, pause).await?;
            }
        }
        Ok(())
    }

    /// Slots are numbered queue after queue.
    fn place(&self, slot: u16) -> (usize, u16) {
        let each = self.memory.queues[0].size() - 1;
        (usize::from(slot / each), slot % each)
    }
}

impl Engine for Controller {
    fn depth(&self) -> usize {
        self.memory.queues.iter().map(|queue| usize::from(queue.size() - 1)).sum()
    }

    fn read_slots(&self) -> usize {
        if self.memory.queues.len() > 1 { usize::from(self.memory.queues[0].size() - 1) } else { 0 }
    }

    fn submit(&mut self, slot: u16, work: &Work) -> bool {
        let (queue, id) = self.place(slot);
        let at = usize::from(slot) * LIST_LEN;
        let Some(namespace) = self.namespaces.get(usize::from(work.unit)) else { return false };
        let Some(list) = self.memory.lists.window().part(at, LIST_LEN) else { return false };
        let list_address = self.memory.lists.address() + at as u64;
        if work.kind == Kind::Health {
            // One question at a time: the answer is the same for all namespaces.
            let command = Command::health(work, &list, list_address).filter(|_| self.health.is_none());
            let is_asked = command.is_some_and(|command| self.memory.admin.submit(HEALTH_ID, &command));
            self.health = is_asked.then_some(slot).or(self.health);
            return is_asked;
        }
        let command = Command::of(work, *namespace, &list, list_address);
        let (Some(command), Some(pair)) = (command, self.memory.queues.get_mut(queue)) else { return false };
        pair.submit(id, &command)
    }

    fn complete(&mut self) -> Result<Option<(u16, Verdict)>, Problem> {
        for (at, queue) in self.memory.queues.iter_mut().enumerate() {
            if let Some(answer) = queue.complete()? {
                let slot = at as u16 * (queue.size() - 1) + answer.id;
                return Ok(Some((slot, answer.verdict())));
            }
        }
        let Some(slot) = self.health else { return Ok(None) };
        let Some(answer) = self.memory.admin.complete()? else { return Ok(None) };
        self.health = None;
        Ok(Some((slot, answer.verdict())))
    }

    fn examine(&mut self) -> Result<(), Problem> {
        match self.status() {
            NOBODY => Err(Problem::Unplugged),
            status if status & STATUS_FATAL != 0 => Err(Problem::Fatal(status)),
            _ => Ok(()),
        }
    }

    async fn recover(&mut self, pause: &impl AsyncFn(Duration)) -> Recovery {
        match self.start(pause).await {
            Ok(()) => Recovery::Good { blamed: None, is_cache_kept: false },
            Err(problem) => {
                let stopped = self.stop(pause).await.is_ok() || self.is_stopped;
                if stopped { Recovery::Stopped(problem) } else { Recovery::Lost(problem) }
            }
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if self.is_stopped {
            // SAFETY: dropped here alone, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.memory) };
        }
    }
}
