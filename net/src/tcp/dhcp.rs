//! What a DHCP server's answer says beyond what smoltcp keeps of it: the largest packet on the network.
//!
//! Knows frames and options. Must not know which answer is believed: that is smoltcp's part.

use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, UdpPacket,
};

/// What servers are asked for (RFC 2132, section 9.8): network mask, routers, name servers, and the largest packet.
pub(super) const ASKED_FOR: &[u8] = &[1, 3, 6, MTU];

/// RFC 2132, section 5.1.
const MTU: u8 = 26;
const MESSAGE_TYPE: u8 = 53;
/// A server may allow 68 bytes. Less than IPv6's least (RFC 8200, section 5) is not believed: no network that a node is
/// made for is like that, and it would make a liar's victim slow.
const MTU_MIN: u16 = 1280;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// The MTU in `frame`, if it grants a lease and says one.
pub(super) fn mtu_of_grant(frame: &[u8]) -> Option<u16> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let ip = Ipv4Packet::new_checked(frame.payload()).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 || ip.next_header() != IpProtocol::Udp {
        return None;
    }
    let udp = UdpPacket::new_checked(ip.payload()).ok()?;
    if (udp.src_port(), udp.dst_port()) != (SERVER_PORT, CLIENT_PORT) {
        return None;
    }
    let packet = DhcpPacket::new_checked(udp.payload()).ok()?;
    let option = |kind| packet.options().find(|option| option.kind == kind).map(|option| option.data);
    let granted = option(MESSAGE_TYPE)? == [u8::from(DhcpMessageType::Ack)];
    let mtu = u16::from_be_bytes(option(MTU)?.try_into().ok()?);
    (granted && mtu >= MTU_MIN).then_some(mtu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr};
    use std::vec::Vec;

    /// A server's answer with these options (RFC 2131, section 2: they begin 240 bytes into it).
    fn answer(options: &[u8]) -> Vec<u8> {
        let (udp_at, dhcp_at) = (14 + 20, 14 + 20 + 8);
        let mut bytes = std::vec![0; dhcp_at + 240 + options.len()];
        EthernetFrame::new_unchecked(&mut bytes[..]).set_ethertype(EthernetProtocol::Ipv4);
        let ip = Ipv4Repr {
            src_addr: Ipv4Address::new(10, 0, 0, 1),
            dst_addr: Ipv4Address::new(10, 0, 0, 2),
            next_header: IpProtocol::Udp,
            payload_len: bytes.len() - udp_at,
            hop_limit: 64,
        };
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &ChecksumCapabilities::default());
        let mut udp = UdpPacket::new_unchecked(&mut bytes[udp_at..]);
        udp.set_src_port(SERVER_PORT);
        udp.set_dst_port(CLIENT_PORT);
        udp.set_len(8 + 240 + options.len() as u16);
        bytes[dhcp_at + 236..dhcp_at + 240].copy_from_slice(&[99, 130, 83, 99]);
        bytes[dhcp_at + 240..].copy_from_slice(options);
        bytes
    }

    #[test]
    fn only_a_grant_says_the_mtu() {
        for (options, mtu) in [
            (&[53, 1, 5, 26, 2, 5, 0xaa, 255][..], Some(1450)),
            (&[53, 1, 2, 26, 2, 5, 0xaa, 255], None),
            (&[26, 2, 5, 0xaa, 255], None),
            (&[53, 1, 5, 255], None),
            (&[53, 1, 5, 26, 1, 5, 255], None),
            (&[53, 1, 5, 26, 2, 4, 0xff, 255], None),
            (&[53, 1, 5, 26, 2, 5], None),
        ] {
            assert_eq!(mtu_of_grant(&answer(options)), mtu, "{options:?}");
        }
        let mut elsewhere = answer(&[53, 1, 5, 26, 2, 5, 0xaa, 255]);
        elsewhere[14 + 20 + 3] = 69;
        assert_eq!(mtu_of_grant(&elsewhere), None, "to another port");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_options_are_read_or_not(options in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mtu = mtu_of_grant(&answer(&options));
            prop_assert!(mtu.is_none_or(|mtu| mtu >= MTU_MIN));
        }
    }
}
