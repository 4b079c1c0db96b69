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

const ADDRESS: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

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
    fn with_address(address: [u8; 6]) -> Fake {
        let fake = Fake::default();
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
        assert_eq!(ring.read8(at + 11), 0b1011, "end of frame, checksum, report");
        let buffer = Fake::memory(ring.read64(at), 2048);
        let frame = (0..usize::from(ring.read16(at + 8))).map(|index| buffer.read8(index)).collect();
        ring.write8(at + 12, 1);
        Some(frame)
    }
}

type Card = IntelCard<Fake>;

fn card() -> (Fake, Card) {
    let fake = Fake::with_address(ADDRESS);
    let card = Card::open(fake.clone(), Signal::None, [2; 6]).unwrap();
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
    let (fake, card) = card();
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

#[test]
fn a_card_without_an_address_is_given_one() {
    for none in [[0; 6], [0xff; 6], [1, 0, 0x5e, 1, 2, 3]] {
        let fake = Fake::with_address(none);
        let card = Card::open(fake.clone(), Signal::None, [2, 9, 8, 7, 6, 5]).unwrap();
        assert_eq!(card.hardware_address(), [2, 9, 8, 7, 6, 5]);
        assert_eq!((fake.read(reg::ADDRESS_LOW), fake.read(reg::ADDRESS_HIGH)), (0x0708_0902, 0x8000_0506));
    }
}

#[test]
fn frames_arrive_in_order_round_after_round() {
    let (fake, mut card) = card();
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

#[test]
fn frames_leave_as_they_were_composed_and_their_places_come_back() {
    let (fake, mut card) = card();
    for round in 0..3 {
        let sent = (0..PLACES).take_while(|index| send(&mut card, &[*index as u8; 60])).count();
        assert_eq!(sent, PLACES - 1, "{round}");
        // No place to send from: nothing is received either, and the wait is for a place.
        fake.arrive(&[9; 60]);
        assert_eq!(receive(&mut card), None);
        assert!(!ready(&mut card));
        assert_eq!(
            fake.read(reg::INTERRUPTS_ON) & reg::CAUSES_OF_QUEUES,
            reg::CAUSES_OF_SENDING & reg::CAUSES_OF_QUEUES
        );
        for index in 0..sent {
            assert_eq!(fake.take(), Some(std::vec![index as u8; 60]));
        }
        assert_eq!(fake.take(), None);
        assert!(ready(&mut card));
        assert_eq!(receive(&mut card), Some(std::vec![9; 60]));
    }
}

#[test]
fn what_makes_no_sense_is_counted_and_its_place_given_back() {
    let (fake, mut card) = card();
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

#[test]
fn a_card_that_says_done_of_everything_neither_stops_us_nor_sends_what_it_was_not_given() {
    let (fake, mut card) = card();
    let everything_done = |ring: usize| {
        let descriptors = fake.descriptors(ring);
        (0..PLACES).for_each(|place| descriptors.write8(place * 16 + 12, 1));
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

#[test]
fn the_cables_state_is_followed() {
    let (fake, mut card) = card();
    fake.write(reg::STATUS, 0);
    card.attend();
    assert!(!card.status().link.get());
    fake.write(reg::STATUS, reg::STATUS_LINK_UP);
    fake.0.registers.borrow_mut().insert(reg::CAUSES, reg::CAUSE_LINK);
    card.attend();
    assert!(card.status().link.get());
    assert_eq!(fake.read(reg::CAUSES), 0, "acknowledged");
}

#[test]
fn a_card_that_was_pulled_is_given_up() {
    let (fake, mut card) = card();
    fake.0.gone.set(true);
    card.attend();
    assert!(!card.status().link.get());
    assert!(!send(&mut card, &[0; 60]));
    assert!(receive(&mut card).is_none());
    assert!(!ready(&mut card));
}

#[test]
fn a_card_that_does_not_reset_is_refused() {
    let fake = Fake::with_address(ADDRESS);
    fake.0.stuck.set(true);
    assert_eq!(Card::open(fake.clone(), Signal::None, [2; 6]).err(), Some(Problem::NoReset));
    fake.0.stuck.set(false);
    fake.0.gone.set(true);
    assert_eq!(Card::open(fake, Signal::None, [2; 6]).err(), Some(Problem::NoReset));
}
