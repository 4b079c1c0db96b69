//! What a DHCP server's answer says beyond what smoltcp keeps of it: the largest packet on the network, and routes.
//!
//! Knows frames and options. Must not know which answer is believed: that is smoltcp's part.

use core::net::Ipv4Addr;
use heapless::Vec;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Cidr, Ipv4Packet, UdpPacket,
};

/// What servers are asked for (RFC 2132, section 9.8): network mask, routes, which go before routers, name servers, and the
/// largest packet.
pub(super) const ASKED_FOR: &[u8] = &[1, ROUTES, 3, 6, MTU];

/// RFC 2132, section 5.1.
const MTU: u8 = 26;
/// RFC 3442.
const ROUTES: u8 = 121;
const MESSAGE_TYPE: u8 = 53;
/// A server may allow 68 bytes. Less than IPv6's least (RFC 8200, section 5) is not believed: no network that a node is
/// made for is like that, and it would make a liar's victim slow.
const MTU_MIN: u16 = 1280;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// Routes of a server that count.
pub(super) const ROUTES_MAX: usize = 6;
/// All parts of the option together; with some routes it may be longer than one part can be (RFC 3396).
const ROUTES_LEN_MAX: usize = 512;

/// What a server says with a lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Grant {
    /// The largest packet.
    pub(super) mtu: Option<u16>,
    /// Routes. If it says any, routers that it names besides do not count (RFC 3442).
    pub(super) routes: Option<Vec<GrantedRoute, ROUTES_MAX>>,
}

/// A network, and who carries what is for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GrantedRoute {
    pub(super) network: Ipv4Cidr,
    /// 0.0.0.0 where the hosts of the network are neighbours.
    pub(super) gateway: Ipv4Addr,
}

/// What `frame` says, if it grants a lease.
pub(super) fn grant(frame: &[u8]) -> Option<Grant> {
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
    if option(MESSAGE_TYPE)? != [u8::from(DhcpMessageType::Ack)] {
        return None;
    }
    let mtu = option(MTU).and_then(|data| Some(u16::from_be_bytes(data.try_into().ok()?)));
    let mut all = Vec::<u8, ROUTES_LEN_MAX>::new();
    let mut parts = packet.options().filter(|option| option.kind == ROUTES);
    let fit = parts.all(|part| all.extend_from_slice(part.data).is_ok());
    Some(Grant { mtu: mtu.filter(|mtu| *mtu >= MTU_MIN), routes: if fit { routes(&all) } else { None } })
}

/// Routes as the option has them: bits of the network, those of its bytes that are not all zeros by that, the gateway.
fn routes(mut bytes: &[u8]) -> Option<Vec<GrantedRoute, ROUTES_MAX>> {
    let mut routes = Vec::new();
    while let Some((&prefix, rest)) = bytes.split_first() {
        let (network, rest) = rest.split_at_checked(usize::from(prefix).div_ceil(8))?;
        let (gateway, rest) = rest.split_first_chunk::<4>()?;
        let mut octets = [0; 4];
        octets.get_mut(..network.len())?.copy_from_slice(network);
        if prefix > 32 {
            return None;
        }
        let network = Ipv4Cidr::new(octets.into(), prefix).network();
        if routes.push(GrantedRoute { network, gateway: Ipv4Addr::from(*gateway) }).is_err() {
            log::debug!("dhcp: more than {ROUTES_MAX} routes; the others do not count");
            break;
        }
        bytes = rest;
    }
    (!routes.is_empty()).then_some(routes)
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
            assert_eq!(grant(&answer(options)).and_then(|grant| grant.mtu), mtu, "{options:?}");
        }
        let mut elsewhere = answer(&[53, 1, 5, 26, 2, 5, 0xaa, 255]);
        elsewhere[14 + 20 + 3] = 69;
        assert_eq!(grant(&elsewhere), None, "to another port");
    }

    fn granted_routes(options: &[u8]) -> std::string::String {
        let routes = grant(&answer(options)).unwrap().routes;
        let text = |route: &GrantedRoute| std::format!("{} {}", route.network, route.gateway);
        routes.map_or("none".into(), |routes| routes.iter().map(text).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn routes_are_read_as_google_and_hetzner_send_them() {
        let google = [53, 1, 5, 121, 14, 32, 10, 128, 0, 1, 0, 0, 0, 0, 0, 10, 128, 0, 1, 255];
        assert_eq!(granted_routes(&google), "10.128.0.1/32 0.0.0.0, 0.0.0.0/0 10.128.0.1");
        // In two parts, and with bits behind the network's.
        let parts = [53, 1, 5, 121, 4, 12, 10, 31, 10, 121, 3, 0, 0, 1, 255];
        assert_eq!(granted_routes(&parts), "10.16.0.0/12 10.0.0.1");
        assert_eq!(granted_routes(&[53, 1, 5, 255]), "none");
        for spoilt in [&[121, 0][..], &[121, 1, 8], &[121, 5, 33, 1, 2, 3, 4], &[121, 6, 0, 1, 2, 3, 4, 8]] {
            assert_eq!(granted_routes(&[&[53, 1, 5], spoilt, &[255]].concat()), "none", "{spoilt:?}");
        }
        let many = [53, 1, 5, 121, 35].into_iter().chain([0, 10, 0, 0, 1].repeat(7)).chain([255]);
        let many = granted_routes(&many.collect::<Vec<_>>());
        assert_eq!(many.matches("0.0.0.0/0").count(), ROUTES_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_options_are_read_or_not(options in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mtu = grant(&answer(&options)).and_then(|grant| grant.mtu);
            prop_assert!(mtu.is_none_or(|mtu| mtu >= MTU_MIN));
        }
    }
}
