//! Frames made by smoltcp, whole and spoilt.

use super::*;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, Ipv4Repr, Ipv6Repr, TcpControl, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr};

const V4: (IpAddress, IpAddress) =
    (IpAddress::Ipv4(Ipv4Addr::new(10, 0, 2, 2)), IpAddress::Ipv4(Ipv4Addr::new(10, 0, 2, 15)));
const V6: (IpAddress, IpAddress) = (
    IpAddress::Ipv6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
    IpAddress::Ipv6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 15)),
);

/// A frame from the first address to the second, with `content` behind the IP header.
fn frame((from, to): (IpAddress, IpAddress), next_header: IpProtocol, content: &[u8]) -> Vec<u8> {
    let payload_len = content.len();
    let (kind, header) = match (from, to) {
        (IpAddress::Ipv4(src_addr), IpAddress::Ipv4(dst_addr)) => {
            let repr = Ipv4Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: 64 };
            let mut header = vec![0; repr.buffer_len()];
            repr.emit(&mut Ipv4Packet::new_unchecked(&mut header), &ChecksumCapabilities::default());
            ([8, 0], header)
        }
        (IpAddress::Ipv6(src_addr), IpAddress::Ipv6(dst_addr)) => {
            let repr = Ipv6Repr { src_addr, dst_addr, next_header, payload_len, hop_limit: 64 };
            let mut header = vec![0; repr.buffer_len()];
            repr.emit(&mut Ipv6Packet::new_unchecked(&mut header));
            ([0x86, 0xdd], header)
        }
        _ => panic!("addresses of two kinds"),
    };
    [&[2; 12], &kind[..], &header, content].concat()
}

fn tcp((from, to): (IpAddress, IpAddress), payload: &[u8]) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: 40000,
        dst_port: 17034,
        control: TcpControl::Psh,
        seq_number: TcpSeqNumber(1),
        ack_number: Some(TcpSeqNumber(7)),
        window_len: 8192,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut segment = vec![0; repr.buffer_len()];
    repr.emit(&mut TcpPacket::new_unchecked(&mut segment), &from, &to, &ChecksumCapabilities::default());
    segment
}

fn udp((from, to): (IpAddress, IpAddress), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: 67, dst_port: 68 };
    let mut datagram = vec![0; repr.header_len() + payload.len()];
    let mut packet = UdpPacket::new_unchecked(&mut datagram);
    repr.emit(
        &mut packet,
        &from,
        &to,
        payload.len(),
        |room| room.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    datagram
}

/// What a card does with a frame whose sum was left to it.
fn card_finishes(frame: &mut [u8], partial: PartialChecksum) {
    let (start, at) = (usize::from(partial.start), usize::from(partial.start + partial.offset));
    let sum = !checksum::data(&frame[start..]);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn headers_between_ipv6_and_tcp_are_passed() {
    let options = [6, 0, 1, 4, 0, 0, 0, 0];
    let whole = frame(V6, IpProtocol::HopByHop, &[&options, &tcp(V6, b"hello")[..]].concat());
    assert!(is_sound(&whole));
    let mut spoilt = whole;
    *spoilt.last_mut().unwrap() ^= 1;
    assert!(!is_sound(&spoilt));
    // Without an end.
    assert!(is_sound(&frame(V6, IpProtocol::HopByHop, &[0, 0, 1, 4, 0, 0, 0, 0].repeat(100))));
}

#[test]
fn a_part_of_a_packet_of_tcp_is_refused() {
    let mut bytes = frame(V4, IpProtocol::Tcp, &tcp(V4, &[1; 100]));
    assert!(is_sound(&bytes));
    Ipv4Packet::new_unchecked(&mut bytes[14..]).set_more_frags(true);
    assert!(!is_sound(&bytes) && !complete(&mut bytes, 34, 16));
    assert_eq!(leave_to_card(&mut bytes), None);
    let mut ip = Ipv4Packet::new_unchecked(&mut bytes[14..]);
    ip.set_more_frags(false);
    ip.set_frag_offset(8);
    assert!(!is_sound(&bytes));
}

#[test]
fn an_open_sum_of_a_datagram_is_written_and_tcps_is_not() {
    for addresses in [V4, V6] {
        let datagram = udp(addresses, b"offer");
        let whole = frame(addresses, IpProtocol::Udp, &datagram);
        let start = whole.len() - datagram.len();
        let mut open = whole.clone();
        let mut pseudo = UdpPacket::new_unchecked(&mut open[start..]);
        let len = u32::from(pseudo.len());
        pseudo.set_checksum(checksum::pseudo_header(&addresses.0, &addresses.1, IpProtocol::Udp, len));
        assert!(complete(&mut open, start as u16, 6));
        assert_eq!(open, whole);

        let mut open = frame(addresses, IpProtocol::Tcp, &tcp(addresses, b"hello"));
        let partial = leave_to_card(&mut open).unwrap();
        let before = open.clone();
        assert!(complete(&mut open, partial.start, partial.offset));
        assert_eq!(open, before);
    }
}

#[test]
fn a_sum_that_lies_outside_is_refused() {
    let whole = frame(V4, IpProtocol::Udp, &udp(V4, b"x"));
    for (start, offset) in [(34, 200), (200, 0), (whole.len() as u16 - 1, 0), (u16::MAX, u16::MAX)] {
        assert!(!complete(&mut whole.clone(), start, offset), "{start} {offset}");
    }
}

#[test]
fn datagrams_and_arp_are_smoltcps_business() {
    let mut datagram = frame(V4, IpProtocol::Udp, &udp(V4, b"x"));
    *datagram.last_mut().unwrap() ^= 1;
    assert!(is_sound(&datagram));
    assert_eq!(leave_to_card(&mut datagram), None);
    let mut arp = [&[2; 12][..], &[8, 6], &[0; 46]].concat();
    assert!(is_sound(&arp) && leave_to_card(&mut arp).is_none());
}

proptest! {
    #[test]
    fn one_wrong_bit_is_seen(payload in proptest::collection::vec(any::<u8>(), 0..600), six: bool, bit: usize) {
        let addresses = if six { V6 } else { V4 };
        let segment = tcp(addresses, &payload);
        let mut bytes = frame(addresses, IpProtocol::Tcp, &segment);
        let start = bytes.len() - segment.len();
        // What switches pad short frames with.
        bytes.extend([0; 6]);
        prop_assert!(is_sound(&bytes));
        let bit = bit % (8 * segment.len());
        // With another header length it may be no segment at all, which smoltcp sees.
        prop_assume!(bit / 8 != 12);
        bytes[start + bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!is_sound(&bytes));
    }

    #[test]
    fn what_is_left_to_a_card_comes_out_right(payload in proptest::collection::vec(any::<u8>(), 0..3000), six: bool) {
        let addresses = if six { V6 } else { V4 };
        let whole = frame(addresses, IpProtocol::Tcp, &tcp(addresses, &payload));
        let mut left = whole.clone();
        let partial = leave_to_card(&mut left).unwrap();
        prop_assert_eq!(usize::from(partial.headers), whole.len() - payload.len());
        card_finishes(&mut left, partial);
        prop_assert_eq!(left, whole);
    }

    #[test]
    fn any_bytes_get_an_answer(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in prop_oneof![Just([8u8, 0]), Just([0x86, 0xdd])],
        (start, offset) in any::<(u16, u16)>(),
    ) {
        if let Some(place) = bytes.get_mut(12..14) {
            place.copy_from_slice(&kind);
        }
        is_sound(&bytes);
        leave_to_card(&mut bytes);
        complete(&mut bytes, start, offset);
    }
}
