//! What differs between the generations of cards: the older ones (8254x, 82574) and the newer ones with advanced descriptors
//! (82576, I350, I210; "82576EB Gigabit Ethernet Controller Datasheet", "Intel Ethernet Controller I350 Datasheet", "Intel
//! Ethernet Controller I210 Datasheet").
//!
//! Knows which registers and bits each wants, in which order. Must not know frames.
//!
//! The newer ones keep the registers of their first queues, of addresses and of causes where the older ones have them. They
//! want each queue switched on by itself, and their interrupts by message have registers of their own: each of three messages
//! (frames came, frames were sent, anything else) is an entry of the card's table, and a bit of mask and causes. All three call
//! us by the same interrupt.

use super::register as reg;
use super::{Problem, READS_MAX, Window};

/// A kind of card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 82540EM, 82545EM, 82574L.
    Older,
    /// 82576, I350, I210, I211.
    Newer,
}

/// 82540EM and 82545EM, which virtual machines have; 82574L and its twin for servers' boards.
const OLDER: [u16; 4] = [0x100e, 0x100f, 0x10d3, 0x10f6];
/// For copper: those for fibre and backplanes need their link set up in another way. 82576 with two and with four ports, its
/// NS and ET2; I350; I210 with and without flash, I211.
const NEWER: [u16; 8] = [0x10c9, 0x10e8, 0x150a, 0x1526, 0x1521, 0x1533, 0x157b, 0x1539];

impl Generation {
    /// That of the device, if we drive it.
    pub fn of(device: u16) -> Option<Generation> {
        match () {
            () if OLDER.contains(&device) => Some(Generation::Older),
            () if NEWER.contains(&device) => Some(Generation::Newer),
            () => None,
        }
    }

    /// Entries of the table of messages that the card uses.
    pub fn messages(self) -> u16 {
        match self {
            Generation::Older => 1,
            Generation::Newer => reg::MESSAGES,
        }
    }

    /// What is set in its control register.
    pub(super) fn control(self) -> u32 {
        match self {
            Generation::Older => reg::CONTROL_LINK | reg::CONTROL_SPEED,
            Generation::Newer => reg::CONTROL_LINK,
        }
    }

    /// What each wants before its queues can be used; their rings are told already.
    pub(super) fn prepare<W: Window>(self, registers: &W) -> Result<(), Problem> {
        match self {
            Generation::Older => {
                prepare_older(registers);
                Ok(())
            }
            Generation::Newer => prepare_newer(registers),
        }
    }

    /// Lets the card call for frames that came, or, if `sending`, for places to send from; and for the cable.
    pub(super) fn interrupts_on<W: Window>(self, registers: &W, sending: bool) {
        match self {
            Generation::Older => {
                let queues = if sending { reg::CAUSES_OF_SENDING } else { reg::CAUSES_OF_RECEIVING };
                registers.write(reg::INTERRUPTS_ON, queues | reg::CAUSE_OTHER | reg::CAUSE_LINK);
            }
            Generation::Newer => {
                let queue = if sending { reg::MESSAGE_SENT } else { reg::MESSAGE_RECEIVED };
                registers.write(reg::INTERRUPTS_ON, reg::CAUSE_LINK);
                registers.write(reg::MESSAGES_ON, queue | reg::MESSAGE_OTHER);
            }
        }
    }

    /// Keeps the card from calling.
    pub(super) fn interrupts_off<W: Window>(self, registers: &W) {
        registers.write(reg::INTERRUPTS_OFF, u32::MAX);
        if self == Generation::Newer {
            registers.write(reg::MESSAGES_OFF, u32::MAX);
        }
    }

    /// Takes back the causes that the card has noted.
    pub(super) fn acknowledge<W: Window>(self, registers: &W) {
        let causes = registers.read(reg::CAUSES);
        registers.write(reg::CAUSES, causes);
        if self == Generation::Newer {
            registers.write(reg::MESSAGE_CAUSES, reg::MESSAGES_ALL);
        }
    }
}

fn prepare_older<W: Window>(registers: &W) {
    let write = |register, value| registers.write(register, value);
    write(reg::RX_DELAY, 0);
    write(reg::RX_DELAY_MAX, 0);
    write(reg::TX_GAP, reg::TX_GAP_COPPER);
    write(reg::TX_DELAY, 0);
    write(reg::TX_DELAY_MAX, 0);
    let descriptors = registers.read(reg::TX + reg::RING_CONTROL);
    write(reg::TX + reg::RING_CONTROL, descriptors | reg::COUNT_DESCRIPTORS);
    write(reg::VECTORS, reg::VECTORS_ALL_TO_FIRST);
    write(reg::AUTO_CLEAR, reg::CAUSES_OF_QUEUES | reg::CAUSE_OTHER);
}

/// 82576 datasheet, 4.5.9 and 4.5.10 (queues), 7.3.2 (messages); the same in those of I350 and I210.
fn prepare_newer<W: Window>(registers: &W) -> Result<(), Problem> {
    let write = |register, value| registers.write(register, value);
    write(reg::RX + reg::RX_BUFFERS, reg::RX_BUFFERS_ADVANCED);
    write(reg::MESSAGE_MODE, reg::MESSAGE_MODE_OWN);
    write(reg::MESSAGE_OF_QUEUES, reg::MESSAGES_OF_FIRST_QUEUES);
    write(reg::MESSAGE_OF_OTHERS, reg::MESSAGE_OF_OTHERS_THIRD);
    write(reg::MESSAGE_AUTO_CLEAR, reg::MESSAGES_ALL);
    write(reg::MESSAGE_AUTO_MASK, 0);
    (0..usize::from(reg::MESSAGES)).for_each(|message| write(reg::MESSAGE_PACE + 4 * message, 0));
    for ring in [reg::RX, reg::TX] {
        write(ring + reg::RING_CONTROL, reg::QUEUE_ON);
        // Only then may it be told of places.
        let is_on = |value: u32| value != u32::MAX && value & reg::QUEUE_ENABLED != 0;
        if !(0..READS_MAX).any(|_| is_on(registers.read(ring + reg::RING_CONTROL))) {
            return Err(Problem::QueueOff);
        }
    }
    start_link(registers)
}

/// Has the PHY find out what is at the other end of the cable; a reset of the card alone does not (82576 datasheet, 3.5.5 and
/// 8.2.4). Firmware that manages a server by this card is not asked.
fn start_link<W: Window>(registers: &W) -> Result<(), Problem> {
    registers.write(reg::PHY, reg::PHY_NEGOTIATE | reg::PHY_FIRST | reg::PHY_WRITE);
    let answers = || core::iter::repeat_with(|| registers.read(reg::PHY)).take(READS_MAX as usize);
    let done = answers().find(|value| *value != u32::MAX && value & (reg::PHY_DONE | reg::PHY_ERROR) != 0);
    if done.is_some_and(|value| value & reg::PHY_ERROR == 0) { Ok(()) } else { Err(Problem::NoPhy) }
}
