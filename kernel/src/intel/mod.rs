//! Network cards of Intel's 8254x and 82574 family (Intel, "82574 GbE Controller Family Datasheet", and "PCI/PCI-X Family of
//! Gigabit Ethernet Controllers Software Developer's Manual"), and of the 82576, I350 and I210 family.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | `register` | registers and their bits | the order in which they are used |
//! | `generation` | what differs between older and newer cards | frames |
//! | `ring` | descriptors and buffers, and who has them | registers |
//!
//! Knows frames: where the card puts them, where it fetches them. Must not know what is in them. As with virtio cards, frames are
//! read and composed where the card has them, interrupts are on only while [`Nic::ready`] waits, and the card is told
//! of new buffers and frames once a turn. Checksums are not left to the card.
//!
//! What the card writes is not believed: lengths are checked, and of frames only those that it was given count as sent.

mod generation;
mod register;
mod ring;
#[cfg(test)]
mod tests;

use crate::interrupts::MsiMessage;
use crate::memory::mmio::Registers;
use crate::pci::Function;
use crate::pci::msix::Msix;
use crate::virtio::network::NetworkStatus;
use crate::virtio::signal::Signal;
use alloc::rc::Rc;
use core::mem::ManuallyDrop;
pub use generation::Generation;
use net::tcp::Nic;
use register as reg;
use ring::{Receiver, RxToken, Sender, TxToken};
use smoltcp::phy::{Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

const VENDOR: u16 = 0x8086;
/// Registers lie in the first window, so many bytes of it are used.
const REGISTERS_LEN: u32 = 0x8000;

/// Bytes of the largest packet.
pub const MTU: u16 = 1500;
const ETHERNET_LEN: usize = 14;
/// Frames or buffers that the card may be told of late.
const UNTOLD_MAX: usize = 32;
/// How often a register is read before the card counts as dead: a read takes a microsecond or so.
const READS_MAX: u32 = 100_000;
/// Reads that take longer than a reset does, in which the card fetches its address.
const RESET_READS: u32 = 5_000;

/// What is wrong with a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No registers.
    #[error("lacks its registers: firmware gave it no address")]
    NoRegisters,
    /// It does not confirm a reset.
    #[error("does not reset")]
    NoReset,
    /// A queue does not confirm that it is on.
    #[error("does not switch its queues on")]
    QueueOff,
    /// The part that drives the cable does not answer.
    #[error("does not reach its own PHY")]
    NoPhy,
    /// It is not there any more.
    #[error("does not answer any more")]
    Gone,
    /// Memory for frames is short.
    #[error("needs memory for frames, of which there is not enough")]
    Memory,
}

/// Access to registers of 32 bits, by their offset.
pub trait Window {
    /// Reads one.
    fn read(&self, register: usize) -> u32;
    /// Writes one.
    fn write(&self, register: usize, value: u32);
}

impl Window for Registers {
    fn read(&self, register: usize) -> u32 {
        self.read32(register)
    }

    fn write(&self, register: usize, value: u32) {
        self.write32(register, value);
    }
}

/// The generation of this function, if it is a card that we drive.
pub fn generation(function: &Function) -> Option<Generation> {
    if function.info.vendor_id == VENDOR { Generation::of(function.info.device_id) } else { None }
}

/// The registers of `function`, which may reach memory from now on.
///
/// # Errors
/// [`Problem::NoRegisters`].
pub fn registers(function: &mut Function) -> Result<Registers, Problem> {
    let registers = function.bars().map(0, 0, REGISTERS_LEN).ok_or(Problem::NoRegisters)?;
    function.enable();
    Ok(registers)
}

/// A network card.
pub struct IntelCard<W: Window> {
    registers: W,
    generation: Generation,
    /// Kept for ever if the card cannot be stopped.
    receiver: ManuallyDrop<Receiver>,
    sender: ManuallyDrop<Sender>,
    signal: Signal,
    /// A frame could not be sent for want of a place since the last wait.
    starving: bool,
    broken: bool,
    status: Rc<NetworkStatus>,
}

impl<W: Window> IntelCard<W> {
    /// Starts the card. `signal` tells of frames and of the cable; `fallback` is its Ethernet address if it has none.
    ///
    /// # Errors
    /// [`Problem::NoReset`], [`Problem::QueueOff`], [`Problem::NoPhy`] or [`Problem::Memory`].
    pub fn open(
        registers: W,
        generation: Generation,
        signal: Signal,
        fallback: [u8; 6],
    ) -> Result<IntelCard<W>, Problem> {
        reset(&registers, generation)?;
        let mut card = IntelCard {
            receiver: ManuallyDrop::new(Receiver::new(generation)?),
            sender: ManuallyDrop::new(Sender::new(generation)?),
            registers,
            generation,
            signal,
            starving: false,
            broken: false,
            status: Rc::new(NetworkStatus::default()),
        };
        card.status.address.set(card.set_address(fallback));
        card.begin()?;
        card.status.link.set(card.read_link());
        Ok(card)
    }

    /// Its figures.
    pub fn status(&self) -> Rc<NetworkStatus> {
        Rc::clone(&self.status)
    }

    /// The address that the card has fetched from its memory, or else `fallback`, which it is told.
    fn set_address(&self, fallback: [u8; 6]) -> [u8; 6] {
        let low = self.registers.read(reg::ADDRESS_LOW).to_le_bytes();
        let high = self.registers.read(reg::ADDRESS_HIGH);
        let [fifth, sixth, ..] = high.to_le_bytes();
        let own = [low[0], low[1], low[2], low[3], fifth, sixth];
        // An address of one station, and not all zeros.
        if own != [0; 6] && own[0] & 1 == 0 {
            self.registers.write(reg::ADDRESS_HIGH, high | reg::ADDRESS_VALID);
            return own;
        }
        let [a, b, c, d, e, f] = fallback;
        self.registers.write(reg::ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        self.registers.write(reg::ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]) | reg::ADDRESS_VALID);
        fallback
    }

    fn begin(&mut self) -> Result<(), Problem> {
        let write = |register, value| self.registers.write(register, value);
        let control = self.registers.read(reg::CONTROL);
        write(reg::CONTROL, (control | self.generation.control()) & !reg::CONTROL_CLEAR);
        (0..reg::MULTICAST_WORDS).for_each(|word| write(reg::MULTICAST + 4 * word, 0));
        for register in [reg::RX_FILTER, reg::RX_CHECKSUM, reg::RX_QUEUES] {
            write(register, 0);
        }
        let (receive, send) = (self.receiver.ring(), self.sender.ring());
        for (base, ring) in [(reg::RX, receive), (reg::TX, send)] {
            write(base + reg::RING_LOW, ring.address() as u32);
            write(base + reg::RING_HIGH, (ring.address() >> 32) as u32);
            write(base + reg::RING_LEN, ring.len() as u32);
            write(base + reg::RING_HEAD, 0);
            write(base + reg::RING_TAIL, 0);
        }
        self.generation.prepare(&self.registers)?;
        write(reg::TX_CONTROL, reg::TX_CONTROL_ON);
        write(reg::RX_CONTROL, reg::RX_CONTROL_ON);
        self.tell();
        Ok(())
    }

    fn read_link(&self) -> bool {
        self.registers.read(reg::STATUS) & reg::STATUS_LINK_UP != 0
    }

    /// Takes note of what the card calls for.
    fn attend(&mut self) {
        let status = self.registers.read(reg::STATUS);
        if status == u32::MAX {
            self.give_up(Problem::Gone);
            return;
        }
        self.generation.acknowledge(&self.registers);
        let up = status & reg::STATUS_LINK_UP != 0;
        if self.status.link.replace(up) != up {
            log::info!("network card: link {}", if up { "up" } else { "down" });
        }
    }

    /// Tells the card of buffers and frames that it does not know of yet.
    fn tell(&mut self) {
        if self.broken {
            return;
        }
        if let Some(tail) = self.receiver.take_untold() {
            self.registers.write(reg::RX + reg::RING_TAIL, tail);
        }
        if let Some(tail) = self.sender.take_untold() {
            self.registers.write(reg::TX + reg::RING_TAIL, tail);
        }
    }

    fn tell_if_many(&mut self) {
        if self.receiver.untold() + self.sender.untold() >= UNTOLD_MAX {
            self.tell();
        }
    }

    fn give_up(&mut self, problem: Problem) {
        log::error!("network card {problem}; it is not used any more");
        self.broken = true;
        self.status.link.set(false);
    }

    /// Whether a frame can be sent; takes back what has been sent.
    fn can_send(&mut self) -> bool {
        self.sender.reclaim();
        let free = !self.broken && self.sender.has_spare();
        self.starving |= !free;
        free
    }

    /// Whether another turn can get something done. While there is no place to send from, nothing can be received
    /// either, as an answer may be due at once.
    fn has_news(&self) -> bool {
        !self.broken && if self.starving { self.sender.has_answers() } else { self.receiver.has_frames() }
    }

    fn interrupts_on(&self) {
        self.generation.interrupts_on(&self.registers, self.starving);
    }
}

/// Stops the card and brings it to its first state: it touches no memory of ours from here on.
fn reset<W: Window>(registers: &W, generation: Generation) -> Result<(), Problem> {
    generation.interrupts_off(registers);
    registers.write(reg::RX_CONTROL, 0);
    registers.write(reg::TX_CONTROL, 0);
    registers.write(reg::CONTROL, registers.read(reg::CONTROL) | reg::CONTROL_RESET);
    let is_reset = |value: u32| value != u32::MAX && value & reg::CONTROL_RESET == 0;
    // Right after the write the card may not answer.
    let pause = || {
        for _ in 0..RESET_READS {
            let _ = registers.read(reg::STATUS);
        }
    };
    pause();
    if !(0..READS_MAX).any(|_| is_reset(registers.read(reg::CONTROL))) {
        return Err(Problem::NoReset);
    }
    generation.interrupts_off(registers);
    generation.acknowledge(registers);
    Ok(())
}

/// Sends the card's interrupts to `message` if it has a table of messages with as many entries as it uses.
pub fn interrupt_by(function: &mut Function, generation: Generation, message: MsiMessage) -> bool {
    let bars = function.bars();
    let msix = Msix::find(&function.configuration, function.place, &bars);
    let Some(msix) = msix.filter(|msix| msix.entries() >= generation.messages()) else { return false };
    (0..generation.messages()).for_each(|entry| msix.set(entry, message));
    msix.enable(&mut function.configuration, function.place);
    true
}

impl<W: Window> Device for IntelCard<W> {
    type RxToken<'a>
        = RxToken<'a>
    where
        W: 'a;
    type TxToken<'a>
        = TxToken<'a>
    where
        W: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.tell_if_many();
        if !self.can_send() {
            return None;
        }
        let (frame, malformed) = self.receiver.next();
        self.status.malformed.set(self.status.malformed.get() + malformed);
        let Some(frame) = frame else {
            // The turn's incoming half is over.
            self.tell();
            return None;
        };
        Some((self.receiver.token(frame), self.sender.token()))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        self.tell_if_many();
        self.can_send().then(|| self.sender.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(MTU) + ETHERNET_LEN;
        capabilities.max_burst_size = Some(64);
        capabilities
    }
}

impl<W: Window> Nic for IntelCard<W> {
    fn hardware_address(&self) -> [u8; 6] {
        self.status.address.get()
    }

    async fn ready(&mut self) {
        self.tell();
        while !self.has_news() {
            if self.broken {
                core::future::pending::<()>().await;
            }
            self.interrupts_on();
            // What came before the switch may not interrupt.
            if self.has_news() {
                break;
            }
            self.signal.wait().await;
            self.attend();
        }
        self.generation.interrupts_off(&self.registers);
        self.starving = false;
    }
}

impl<W: Window> Drop for IntelCard<W> {
    fn drop(&mut self) {
        if reset(&self.registers, self.generation).is_ok() {
            // SAFETY: dropped here alone, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.receiver) };
            // SAFETY: as above.
            unsafe { ManuallyDrop::drop(&mut self.sender) };
        }
    }
}
