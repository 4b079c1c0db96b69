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

/// A card that leaves nothing out.
const EVERYTHING: u64 = WANTED | 1 << 0 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 15;

/// What the card writes in front of a frame in so many buffers.
fn header(flags: u8, buffers: u16) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = flags;
    header[10..].copy_from_slice(&buffers.to_le_bytes());
    header
}

/// Writes a frame into as many buffers as `pieces`, the first behind `header`.
fn arrive_in(device: &FakeDevice, chains: &[Visible], header: [u8; 12], pieces: &[&[u8]]) {
    for (number, (chain, piece)) in chains.iter().zip(pieces).enumerate() {
        let bytes = if number == 0 { [&header[..], piece].concat() } else { piece.to_vec() };
        chain.fill(&bytes);
        device.give_back(RECEIVE, chain.id, bytes.len() as u32);
    }
}

/// A frame with TCP over IPv4, without its checksum.
fn segment(payload: usize) -> Vec<u8> {
    let mut frame = std::vec![0; 54 + payload];
    let total = (40 + payload) as u16;
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[26..34].copy_from_slice(&[10, 0, 2, 15, 10, 0, 2, 2]);
    frame[46..48].copy_from_slice(&[5 << 4, 0x10]);
    frame
}

fn send_cut(card: &mut Card, frame: &[u8], segment: u16) {
    let mut meta = smoltcp::phy::PacketMeta::default();
    meta.segmentation_offload_size = core::num::NonZeroU16::new(segment);
    let mut token = card.transmit(Instant::ZERO).unwrap();
    token.set_meta(meta);
    token.consume(frame.len(), |room| room.copy_from_slice(frame));
}

#[test]
fn only_what_makes_sense_together_is_agreed() {
    let agreed = |offered: u64| {
        let (device, card) = card(offered, &config(1, 1500));
        let features = device.0.borrow().agreed & EVERYTHING & !WANTED;
        (features, card.capabilities().checksum.tcp, card.capabilities().segmentation.tcpv4.is_some())
    };
    let all = EVERYTHING & !WANTED;
    assert!(matches!(agreed(all), (features, Checksum::None, true) if features == all));
    assert!(matches!(agreed(all & !1), (features, Checksum::Tx, false) if features & (1 << 11) == 0));
    assert!(matches!(agreed(all & !2), (features, Checksum::Rx, true) if features & (3 << 7) == 0));
    assert!(matches!(agreed(all & !(1 << 15)), (features, Checksum::None, true) if features & (3 << 7) == 0));
    assert!(matches!(agreed(0), (0, Checksum::Both, false)));
}

#[test]
fn a_frame_in_several_buffers_is_put_together_though_they_come_one_by_one() {
    let (device, mut card) = card(EVERYTHING, &config(1, 1500));
    let buffers = device.all(RECEIVE);
    let mut frame = segment(5000);
    frame[54..].iter_mut().zip(0u32..).for_each(|(byte, number)| *byte = (number / 7) as u8);
    let pieces = [&frame[..2036], &frame[2036..4084], &frame[4084..]];
    arrive_in(&device, &buffers[..2], header(1, 3), &pieces[..2]);
    assert_eq!(receive(&mut card), None);
    buffers[2].fill(pieces[2]);
    device.give_back(RECEIVE, buffers[2].id, pieces[2].len() as u32);
    assert_eq!(receive(&mut card), Some(frame));
    assert_eq!(device.all(RECEIVE).len(), 3, "all buffers are the card's again");
    assert_eq!(card.status().malformed.get(), 0);
}

#[test]
fn a_frame_that_makes_no_sense_is_taken_off_whole() {
    let (device, mut card) = card(EVERYTHING, &config(1, 1500));
    let whole = segment(10);
    // Longer than any frame; no Ethernet header at its start; a length that is no buffer's; in no buffer.
    let frames = [(40, 2036, 2048), (3, 5, 2048), (3, 2036, 5000), (0, 100, 0)];
    for (number, (buffers, first, further)) in frames.into_iter().enumerate() {
        let start = device.next(RECEIVE).unwrap();
        arrive_in(&device, &[start], header(1, buffers), &[&[7; 2048][..first]]);
        assert_eq!(receive(&mut card), None);
        for _ in 1..buffers {
            let next = device.next(RECEIVE).unwrap();
            next.fill(&[7; 2048]);
            device.give_back(RECEIVE, next.id, further);
            assert_eq!(receive(&mut card), None);
        }
        assert_eq!(card.status().malformed.get(), number as u64 + 1);
        arrive_in(&device, &[device.next(RECEIVE).unwrap()], header(1, 1), &[&whole]);
        assert_eq!(receive(&mut card), Some(whole.clone()), "after frame {number}");
    }
}

#[test]
fn a_sum_counts_unless_the_card_says_that_it_is_good() {
    let (device, mut card) = card(EVERYTHING, &config(1, 1500));
    let without = segment(100);
    for (flags, taken) in [(0, false), (1, true), (2, true)] {
        arrive_in(&device, &[device.next(RECEIVE).unwrap()], header(flags, 1), &[&without]);
        assert_eq!(receive(&mut card).is_some(), taken, "flags {flags}");
    }
    assert_eq!(card.status().malformed.get(), 1);
}

#[test]
fn a_long_frame_leaves_with_what_the_card_needs_to_cut_it() {
    let (device, mut card) = card(EVERYTHING, &config(1, 1500));
    send_cut(&mut card, &segment(20_000), 1460);
    assert!(send(&mut card, &segment(10)));
    let frames = device.all(SEND);
    // Flags, kind of segments, headers, bytes of each, where to start summing, and where the sum is from there.
    assert_eq!(frames[0].readable[..12], [1, 1, 54, 0, 0xb4, 5, 34, 0, 16, 0, 0, 0]);
    assert_eq!(frames[0].readable.len(), 12 + 54 + 20_000);
    assert_eq!(frames[1].readable[..12], [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    // 10.0.2.15 and 10.0.2.2, protocol 6, and 30 bytes.
    let sum: u16 = 0x0a00 + 0x020f + 0x0a00 + 0x0202 + 6 + 30;
    assert_eq!(frames[1].readable[12 + 50..12 + 52], sum.to_be_bytes());
}

#[test]
fn without_room_for_a_long_frame_none_leaves() {
    let (device, mut card) = card(EVERYTHING, &config(1, 1500));
    (0..8).for_each(|_| send_cut(&mut card, &segment(60_000), 1460));
    assert!(card.transmit(Instant::ZERO).is_none());
    let frames = device.all(SEND);
    device.give_back(SEND, frames[5].id, 0);
    assert!(ready(&mut card));
    // Short ones have room of their own.
    (0..8).for_each(|_| assert!(send(&mut card, &segment(10))));
    assert!(card.transmit(Instant::ZERO).is_none());
}
