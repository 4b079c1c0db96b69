//! A card against a device in memory.

use super::*;
use crate::virtio::fake::{FakeDevice, FakeHal, Visible};
use core::future::Future;
use core::task::{Context, Poll, Waker};
use smoltcp::phy::{RxToken as _, TxToken as _};
use std::vec::Vec;

const RECEIVE: usize = 0;
const SEND: usize = 1;

type Card = VirtioNetwork<FakeDevice>;

/// A configuration space: address, link, pairs of queues, MTU.
fn config(link: u16, mtu: u16) -> Vec<u8> {
    let mut bytes = std::vec![2, 0, 0, 0, 0, 9];
    [link, 1, mtu].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
    bytes
}

fn card(features: u64, config: &[u8]) -> (FakeDevice, Card) {
    let device = FakeDevice::new(features, config, 16);
    let card = Card::open::<FakeHal>(device.clone(), Signal::None, None, [2; 6]).unwrap();
    (device, card)
}

fn arrive(device: &FakeDevice, chain: &Visible, frame: &[u8]) {
    let bytes = [&[0; 12], frame].concat();
    chain.fill(&bytes);
    device.give_back(RECEIVE, chain.id, bytes.len() as u32);
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

/// Whether the card has something to do at once.
fn ready(card: &mut Card) -> bool {
    let ready = core::pin::pin!(card.ready());
    ready.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[test]
fn frames_arrive_in_the_cards_order_and_buffers_go_back() {
    let (device, mut card) = card(0, &config(0, 0));
    assert_eq!(card.hardware_address(), [2; 6]);
    for round in 0..100u8 {
        let buffers = device.all(RECEIVE);
        assert_eq!(buffers.len(), if round == 0 { 16 } else { 2 });
        assert!(!ready(&mut card));
        arrive(&device, &buffers[1], &[round; 60]);
        arrive(&device, &buffers[0], &[round + 1; 1514]);
        // The rest of the first round is the card's for good.
        assert!(ready(&mut card));
        assert_eq!(receive(&mut card), Some(std::vec![round; 60]));
        assert_eq!(receive(&mut card), Some(std::vec![round + 1; 1514]));
        assert_eq!(receive(&mut card), None);
    }
}

#[test]
fn a_frame_that_nobody_reads_gives_its_buffer_back() {
    let (device, mut card) = card(0, &config(0, 0));
    let buffers = device.all(RECEIVE);
    arrive(&device, &buffers[0], &[1; 60]);
    let _ = card.receive(Instant::ZERO).map(|(token, _)| drop(token));
    assert_eq!(device.all(RECEIVE).len(), 1);
}

#[test]
fn impossible_lengths_are_dropped_and_counted() {
    let (device, mut card) = card(0, &config(0, 0));
    for (number, chain) in device.all(RECEIVE).iter().take(4).enumerate() {
        device.give_back(RECEIVE, chain.id, [0, 12, 25, 5000][number]);
    }
    assert_eq!(receive(&mut card), None);
    assert_eq!(card.status().malformed.get(), 4);
    assert_eq!(device.all(RECEIVE).len(), 4);
}

#[test]
fn frames_leave_behind_an_empty_header_and_wait_for_a_place() {
    let (device, mut card) = card(0, &config(0, 0));
    (0..16).for_each(|number| assert!(send(&mut card, &[number; 100])));
    assert!(!send(&mut card, &[0; 100]));
    arrive(&device, &device.next(RECEIVE).unwrap(), &[1; 60]);
    assert!(receive(&mut card).is_none());
    assert!(!ready(&mut card), "a turn could do nothing");
    let frames = device.all(SEND);
    assert_eq!(frames.len(), 16);
    assert_eq!(frames[3].readable, [&[0; 12][..], &[3; 100]].concat());
    device.give_back(SEND, frames[7].id, 0);
    assert!(ready(&mut card), "a place came free");
    assert!(send(&mut card, &[77; 1514]));
    assert_eq!(device.next(SEND).unwrap().readable[12..], [77; 1514]);
}

#[test]
fn the_card_is_told_once_a_turn() {
    let (device, mut card) = card(0, &config(0, 0));
    let before = device.0.borrow().notices;
    (0..10).for_each(|_| assert!(send(&mut card, &[1; 60])));
    assert_eq!(device.0.borrow().notices, before);
    assert!(!ready(&mut card));
    assert_eq!(device.0.borrow().notices, before + 1);
    assert!(!ready(&mut card));
    assert_eq!(device.0.borrow().notices, before + 1);
}

#[test]
fn a_bogus_answer_ends_the_card_and_nothing_else() {
    for queue in [RECEIVE, SEND] {
        let (device, mut card) = card(0, &config(0, 0));
        device.give_back(queue, 999, 60);
        assert!(receive(&mut card).is_none());
        assert!(!send(&mut card, &[0; 60]));
        assert!(!ready(&mut card));
        assert!(!card.status().link.get());
        assert_eq!(device.0.borrow().status, virtio_drivers::transport::DeviceStatus::empty());
    }
}

#[test]
fn address_link_and_mtu_are_the_cards_own() {
    let (device, card) = card(WANTED, &config(1, 9000));
    assert_eq!(device.0.borrow().agreed & WANTED, WANTED);
    assert_eq!(card.hardware_address(), [2, 0, 0, 0, 0, 9]);
    assert_eq!((card.mtu(), card.capabilities().max_transmission_unit), (9000, 9014));
    assert!(card.status().link.get());
    device.0.borrow_mut().config[6] = 0;
    card.configuration_changed();
    assert!(!card.status().link.get());
    let tiny = FakeDevice::new(WANTED, &config(1, 100), 16);
    assert!(Card::open::<FakeHal>(tiny, Signal::None, None, [2; 6]).is_err());
}
