//! A card against one in memory, which keeps to its manual, or does not.

use super::*;
use core::cell::{Cell, RefCell};
use core::pin::pin;
use core::ptr::{NonNull, with_exposed_provenance_mut};
use core::task::{Context, Poll, Waker};
use ring::PLACES;
use smoltcp::phy::{RxToken as _, TxToken as _};
use std::collections::BTreeMap;
use std::vec::Vec;

const BOTH: [Generation; 2] = [Generation::Older, Generation::Newer];
const ADDRESS: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

const QUEUE_OF_RECEIVING: usize = reg::RX + reg::RING_CONTROL;
const QUEUE_OF_SENDING: usize = reg::TX + reg::RING_CONTROL;

/// The card's side: its registers, and what it does with the rings.
#[derive(Clone, Default)]
struct Fake(Rc<State>);

#[derive(Default)]
struct State {
    registers: RefCell<BTreeMap<usize, u32>>,
    /// A reset never ends.
    stuck: Cell<bool>,
    /// Every register reads as all ones: somebody has pulled the card.
    gone: Cell<bool>,
    /// Queues stay off.
    queues_off: Cell<bool>,
    /// What the PHY's access answers, beside the value.
    phy: Cell<u32>,
    newer: Cell<bool>,
    resets: Cell<u32>,
}

impl Window for Fake {
    fn read(&self, register: usize) -> u32 {
        if self.0.gone.get() {
            return u32::MAX;
        }
        self.0.registers.borrow().get(&register).copied().unwrap_or(0)
    }

    fn write(&self, register: usize, value: u32) {
        let mut registers = self.0.registers.borrow_mut();
        match register {
            reg::CONTROL if value & reg::CONTROL_RESET != 0 => {
                self.0.resets.set(self.0.resets.get() + 1);
                let left = if self.0.stuck.get() { value } else { value & !reg::CONTROL_RESET };
                registers.insert(register, left);
            }
            QUEUE_OF_RECEIVING | QUEUE_OF_SENDING if self.0.queues_off.get() => {
                registers.insert(register, value & !reg::QUEUE_ENABLED);
            }
            reg::PHY => {
                registers.insert(register, value | self.0.phy.get());
            }
            reg::MESSAGES_OFF => {
                let on = registers.get(&reg::MESSAGES_ON).copied().unwrap_or(0);
                registers.insert(reg::MESSAGES_ON, on & !value);
            }
            reg::CAUSES => {
                let causes = registers.get(&register).copied().unwrap_or(0);
                registers.insert(register, causes & !value);
            }
            _ => {
                registers.insert(register, value);
            }
        }
    }
}

impl Fake {
    fn new(generation: Generation, address: [u8; 6]) -> Fake {
        let fake = Fake::default();
        fake.0.newer.set(generation == Generation::Newer);
        fake.0.phy.set(reg::PHY_DONE);
        let [a, b, c, d, e, f] = address;
        fake.write(reg::ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        fake.write(reg::ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]));
        fake.write(reg::STATUS, reg::STATUS_LINK_UP);
        fake
    }

    /// Ordinary memory that the driver has told the card of.
    fn memory(address: u64, len: usize) -> Registers {
        let start = NonNull::new(with_exposed_provenance_mut::<u8>(address as usize)).unwrap();
        // SAFETY: the driver's ring or one of its buffers, which live as long as the card.
        unsafe { Registers::new(start, len) }
    }

    fn descriptors(&self, ring: usize) -> Registers {
        let [low, high, len] = [reg::RING_LOW, reg::RING_HIGH, reg::RING_LEN].map(|at| self.read(ring + at));
        Fake::memory(u64::from(high) << 32 | u64::from(low), len as usize)
    }

    /// Places that are the card's: from its head to the tail that it was told.
    fn owned(&self, ring: usize) -> usize {
        let (head, tail) = (self.read(ring + reg::RING_HEAD), self.read(ring + reg::RING_TAIL));
        (tail as usize + PLACES - head as usize) % PLACES
    }

    fn advance(&self, ring: usize) -> usize {
        let head = self.read(ring + reg::RING_HEAD) as usize;
        self.write(ring + reg::RING_HEAD, ((head + 1) % PLACES) as u32);
        head * 16
    }

    /// A frame comes; `status` and `errors` are what the card says of it, and so is `len`.
    fn put(&self, frame: &[u8], len: u16, status: u8, errors: u8) {
        assert!(self.owned(reg::RX) > 0, "the driver gave no place");
        let ring = self.descriptors(reg::RX);
        let at = self.advance(reg::RX);
        let buffer = Fake::memory(ring.read64(at), 2048);
        frame.iter().enumerate().for_each(|(index, byte)| buffer.write8(index, *byte));
        if self.0.newer.get() {
            assert_eq!(self.read(reg::RX + reg::RX_BUFFERS), 0x0200_0002, "advanced, 2 KiB");
            assert_eq!(ring.read64(at + 8), 0, "no second buffer, and not done");
            // A hash lies where the buffer's address was.
            ring.write64(at, u64::MAX);
            let said = u64::from(status) | u64::from(errors) << 20 | u64::from(len) << 32 | 0xffff << 48;
            ring.write64(at + 8, said);
            return;
        }
        ring.write16(at + 8, len);
        ring.write8(at + 13, errors);
        ring.write8(at + 12, status);
    }

    fn arrive(&self, frame: &[u8]) {
        self.put(frame, frame.len() as u16, 3, 0);
    }

    /// Sends the next frame that the driver gave.
    fn take(&self) -> Option<Vec<u8>> {
        if self.owned(reg::TX) == 0 {
            return None;
        }
        let ring = self.descriptors(reg::TX);
        let at = self.advance(reg::TX);
        let advanced = if self.0.newer.get() { 0b10_0000 } else { 0 };
        assert_eq!(ring.read8(at + 11), 0b1011 | advanced, "end of frame, checksum, report");
        if self.0.newer.get() {
            assert_eq!(ring.read8(at + 10), 0x30, "data");
            let word = ring.read64(at + 8);
            assert_eq!(word >> 46, word & 0xffff, "the whole frame's length");
        }
        let buffer = Fake::memory(ring.read64(at), 2048);
        let frame = (0..usize::from(ring.read16(at + 8))).map(|index| buffer.read8(index)).collect();
        ring.write8(at + 12, 1);
        Some(frame)
    }
}

type Card = IntelCard<Fake>;

fn card(generation: Generation) -> (Fake, Card) {
    let fake = Fake::new(generation, ADDRESS);
    let card = Card::open(fake.clone(), generation, Signal::None, [2; 6]).unwrap();
    (fake, card)
}

fn send(card: &mut Card, frame: &[u8]) -> bool {
    let Some(token) = card.transmit(Instant::ZERO) else { return false };
    token.consume(frame.len(), |room| room.copy_from_slice(frame));
    true
}

fn receive(card: &mut Card) -> Option<Vec<u8>> {
    let (token, _) = card.receive(Instant::ZERO)?;
    Some(token.consume(|frame| frame.to_vec()))
}

fn ready(card: &mut Card) -> bool {
    let ready = pin!(card.ready());
    ready.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[test]
fn a_card_is_reset_told_of_its_rings_and_switched_on() {
    for generation in BOTH {
        let (fake, card) = card(generation);
        assert_eq!(fake.0.resets.get(), 1);
        assert_eq!(card.hardware_address(), ADDRESS);
        assert!(card.status().link.get());
        assert_eq!(fake.read(reg::ADDRESS_HIGH) & reg::ADDRESS_VALID, reg::ADDRESS_VALID);
        assert_eq!(
            (fake.read(reg::RX_CONTROL), fake.read(reg::TX_CONTROL)),
            (reg::RX_CONTROL_ON, reg::TX_CONTROL_ON)
        );
        assert_eq!((fake.owned(reg::RX), fake.owned(reg::TX)), (PLACES - 1, 0));
        drop(card);
        assert_eq!((fake.0.resets.get(), fake.read(reg::RX_CONTROL)), (2, 0));
    }
}

#[test]
fn a_card_without_an_address_is_given_one() {
    for generation in BOTH {
        for none in [[0; 6], [0xff; 6], [1, 0, 0x5e, 1, 2, 3]] {
            let fake = Fake::new(generation, none);
            let card = Card::open(fake.clone(), generation, Signal::None, [2, 9, 8, 7, 6, 5]).unwrap();
            assert_eq!(card.hardware_address(), [2, 9, 8, 7, 6, 5]);
            assert_eq!(
                (fake.read(reg::ADDRESS_LOW), fake.read(reg::ADDRESS_HIGH)),
                (0x0708_0902, 0x8000_0506)
            );
        }
    }
}

#[test]
fn frames_arrive_in_order_round_after_round() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        for round in 0..200_u8 {
            assert!(!ready(&mut card));
            for part in 0..4_u8 {
                fake.arrive(&[round, part, 0].repeat(20 + usize::from(part) * 100));
            }
            assert!(ready(&mut card));
            for part in 0..4_u8 {
                assert_eq!(receive(&mut card), Some([round, part, 0].repeat(20 + usize::from(part) * 100)));
            }
            assert_eq!(receive(&mut card), None);
            assert_eq!(fake.owned(reg::RX), PLACES - 1);
        }
    }
}

#[test]
fn frames_leave_as_they_were_composed_and_their_places_come_back() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        for round in 0..3 {
            let sent = (0..PLACES).take_while(|index| send(&mut card, &[*index as u8; 60])).count();
            assert_eq!(sent, PLACES - 1, "{round}");
            // No place to send from: nothing is received either, and the wait is for a place.
            fake.arrive(&[9; 60]);
            assert_eq!(receive(&mut card), None);
            assert!(!ready(&mut card));
            match generation {
                Generation::Older => assert_eq!(
                    fake.read(reg::INTERRUPTS_ON) & reg::CAUSES_OF_QUEUES,
                    reg::CAUSES_OF_SENDING & reg::CAUSES_OF_QUEUES
                ),
                Generation::Newer => {
                    assert_eq!(fake.read(reg::MESSAGES_ON), reg::MESSAGE_SENT | reg::MESSAGE_OTHER);
                }
            }
            for index in 0..sent {
                assert_eq!(fake.take(), Some(std::vec![index as u8; 60]));
            }
            assert_eq!(fake.take(), None);
            assert!(ready(&mut card));
            assert_eq!(receive(&mut card), Some(std::vec![9; 60]));
        }
    }
}

#[test]
fn what_makes_no_sense_is_counted_and_its_place_given_back() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        // Too short, longer than the buffer, in pieces, with an error.
        for (len, status, errors) in
            [(13, 3, 0), (2049, 3, 0), (u16::MAX, 3, 0), (60, 1, 0), (60, 3, 1), (0, 3, 0)]
        {
            fake.put(&[1; 60], len, status, errors);
        }
        fake.arrive(&[2; 60]);
        assert_eq!(receive(&mut card), Some(std::vec![2; 60]));
        assert_eq!(card.status().malformed.get(), 6);
        assert_eq!(receive(&mut card), None);
        assert_eq!(fake.owned(reg::RX), PLACES - 1);
    }
}

#[test]
fn a_card_that_says_done_of_everything_neither_stops_us_nor_sends_what_it_was_not_given() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        let everything_done = |ring: usize| {
            let descriptors = fake.descriptors(ring);
            // Everything there is: both kinds say it somewhere in it. The length is too much.
            (0..PLACES).for_each(|place| descriptors.write64(place * 16 + 8, u64::MAX));
        };
        everything_done(reg::RX);
        everything_done(reg::TX);
        assert_eq!(receive(&mut card), None);
        assert_eq!(card.status().malformed.get(), PLACES as u64);
        assert!(send(&mut card, &[5; 60]));
        card.tell();
        assert_eq!(fake.take(), Some(std::vec![5; 60]));
        assert_eq!(fake.take(), None);
    }
}

#[test]
fn the_cables_state_is_followed() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        fake.write(reg::STATUS, 0);
        card.attend();
        assert!(!card.status().link.get());
        fake.write(reg::STATUS, reg::STATUS_LINK_UP);
        fake.0.registers.borrow_mut().insert(reg::CAUSES, reg::CAUSE_LINK);
        card.attend();
        assert!(card.status().link.get());
        assert_eq!(fake.read(reg::CAUSES), 0, "acknowledged");
    }
}

#[test]
fn a_card_that_was_pulled_is_given_up() {
    for generation in BOTH {
        let (fake, mut card) = card(generation);
        fake.0.gone.set(true);
        card.attend();
        assert!(!card.status().link.get());
        assert!(!send(&mut card, &[0; 60]));
        assert!(receive(&mut card).is_none());
        assert!(!ready(&mut card));
    }
}

#[test]
fn a_card_that_does_not_reset_is_refused() {
    for generation in BOTH {
        let fake = Fake::new(generation, ADDRESS);
        fake.0.stuck.set(true);
        assert_eq!(Card::open(fake.clone(), generation, Signal::None, [2; 6]).err(), Some(Problem::NoReset));
        fake.0.stuck.set(false);
        fake.0.gone.set(true);
        assert_eq!(Card::open(fake, generation, Signal::None, [2; 6]).err(), Some(Problem::NoReset));
    }
}

#[test]
fn a_newer_card_has_messages_for_each_cause_and_its_queues_on() {
    let (fake, mut card) = card(Generation::Newer);
    for queue in [QUEUE_OF_RECEIVING, QUEUE_OF_SENDING] {
        assert_eq!(fake.read(queue) & reg::QUEUE_ENABLED, reg::QUEUE_ENABLED);
    }
    let message = |register: usize, shift: u32| fake.read(register) >> shift & 0xff;
    assert_eq!(message(reg::MESSAGE_OF_QUEUES, 0), 0x80, "receiving: the first");
    assert_eq!(message(reg::MESSAGE_OF_QUEUES, 8), 0x81, "sending: the second");
    assert_eq!(message(reg::MESSAGE_OF_OTHERS, 8), 0x82, "anything else: the third");
    assert_eq!(fake.read(reg::MESSAGES_ON), 0);
    assert!(!ready(&mut card));
    assert_eq!(fake.read(reg::MESSAGES_ON), reg::MESSAGE_RECEIVED | reg::MESSAGE_OTHER);
    fake.arrive(&[1; 60]);
    assert!(ready(&mut card));
    assert_eq!(fake.read(reg::MESSAGES_ON), 0, "off while frames are taken in turns");
}

#[test]
fn a_newer_card_whose_queues_stay_off_is_refused_and_reset() {
    let fake = Fake::new(Generation::Newer, ADDRESS);
    fake.0.queues_off.set(true);
    let opened = Card::open(fake.clone(), Generation::Newer, Signal::None, [2; 6]);
    assert_eq!(opened.err(), Some(Problem::QueueOff));
    assert_eq!(fake.0.resets.get(), 2, "it reaches no memory of ours any more");
}

#[test]
fn a_newer_cards_phy_is_asked_to_negotiate_and_must_answer() {
    let (fake, _card) = card(Generation::Newer);
    assert_eq!(fake.read(reg::PHY) & 0xffff, 0x1200);
    for silent in [0, reg::PHY_ERROR, reg::PHY_ERROR | reg::PHY_DONE] {
        let fake = Fake::new(Generation::Newer, ADDRESS);
        fake.0.phy.set(silent);
        let opened = Card::open(fake.clone(), Generation::Newer, Signal::None, [2; 6]);
        assert_eq!(opened.err(), Some(Problem::NoPhy), "{silent:x}");
        assert_eq!(fake.0.resets.get(), 2);
    }
}

#[test]
fn cards_are_known_by_their_number() {
    for (device, generation) in [
        (0x10d3, Some(Generation::Older)),
        (0x10c9, Some(Generation::Newer)),
        (0x1521, Some(Generation::Newer)),
        (0x1533, Some(Generation::Newer)),
        (0x1522, None),
    ] {
        assert_eq!(Generation::of(device), generation, "{device:x}");
    }
}
