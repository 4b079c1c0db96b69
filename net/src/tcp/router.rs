//! Router discovery and stateless addresses for IPv6 (RFC 4861, 4862): bytes of announcements to prefixes and
//! routers.
//!
//! Ours, because smoltcp 0.14 with `proto-ipv6-slaac` loses the deadlines of TCP (`Option::min` with `None`)
//! and, on a network without routers, asks to be polled at once for ever. Knows nothing of sockets.

use crate::clock::Instant;
use core::net::Ipv6Addr;
use core::time::Duration;
use heapless::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, Icmpv6Packet, Icmpv6Repr, IpProtocol,
    Ipv6Cidr, Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
    RawHardwareAddress,
};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Prefixes and routers that are kept; further ones are ignored.
const KEPT: usize = 4;
/// The least that IPv6 allows (RFC 8200, section 5); an announcement of less does not count.
const MTU_MIN: u16 = 1280;
/// RFC 4861, section 10: the first three questions come at this distance.
const SOLICIT_INTERVAL: Duration = Duration::from_secs(4);
const QUICK_SOLICITS: u32 = 3;
/// RFC 7559: after that the distance doubles up to this one, for as long as no router answers.
const SOLICIT_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// RFC 4862, section 5.5.3 (e): an announcement cannot cut a lifetime below this.
const TWO_HOURS: Duration = Duration::from_secs(7200);

/// What one router announces. Only announcements that RFC 4861, section 6.1.2 calls valid become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouterAdvert {
    router: Ipv6Addr,
    lifetime: Duration,
    /// smoltcp reads one prefix of each announcement, the last.
    prefix: Option<NdiscPrefixInformation>,
    /// The largest packet on its link (RFC 4861, section 4.6.4), if it is one that IPv6 allows.
    mtu: Option<u16>,
}

impl RouterAdvert {
    /// The announcement in an Ethernet frame, if it is one.
    pub(super) fn parse(frame: &[u8]) -> Option<RouterAdvert> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        if frame.ethertype() != EthernetProtocol::Ipv6 {
            return None;
        }
        let ip = Ipv6Packet::new_checked(frame.payload()).ok()?;
        if ip.next_header() != IpProtocol::Icmpv6 || ip.hop_limit() != 255 {
            return None;
        }
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        if !from.is_unicast_link_local() || (to != ALL_NODES && !to.is_unicast_link_local()) {
            return None;
        }
        let icmp = Icmpv6Packet::new_checked(ip.payload()).ok()?;
        match Icmpv6Repr::parse(&from, &to, &icmp, &ChecksumCapabilities::default()).ok()? {
            Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert { router_lifetime, prefix_info, mtu, .. }) => {
                let mtu = mtu.and_then(|mtu| u16::try_from(mtu).ok()).filter(|mtu| *mtu >= MTU_MIN);
                let (lifetime, prefix) = (router_lifetime.into(), prefix_info);
                Some(RouterAdvert { router: from, lifetime, prefix, mtu })
            }
            _ => None,
        }
    }
}

/// A router, as long as its last announcement holds.
struct Router {
    address: Ipv6Addr,
    until: Instant,
    mtu: Option<u16>,
}

/// What routers said, and when to ask again.
pub(super) struct RouterDiscovery {
    hardware: EthernetAddress,
    /// Our address in each prefix, and how long it is valid.
    addresses: Vec<(Ipv6Cidr, Instant), KEPT>,
    routers: Vec<Router, KEPT>,
    solicit_at: Instant,
    solicits: u32,
}

impl RouterDiscovery {
    pub(super) fn new(hardware: EthernetAddress, now: Instant) -> RouterDiscovery {
        RouterDiscovery { hardware, addresses: Vec::new(), routers: Vec::new(), solicit_at: now, solicits: 0 }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> + '_ {
        self.addresses.iter().map(|(address, _)| *address)
    }

    /// The router to use: the one heard first.
    pub(super) fn router(&self) -> Option<Ipv6Addr> {
        self.routers.first().map(|router| router.address)
    }

    /// The largest packet that all routers allow, if any says.
    pub(super) fn mtu(&self) -> Option<u16> {
        self.routers.iter().filter_map(|router| router.mtu).min()
    }

    /// When [`Self::expire`] or [`Self::solicit`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ends =
            self.addresses.iter().map(|(_, end)| *end).chain(self.routers.iter().map(|router| router.until));
        ends.chain(self.routers.is_empty().then_some(self.solicit_at)).min()
    }

    /// Takes in an announcement. Whether addresses or routers changed.
    pub(super) fn hear(&mut self, advert: RouterAdvert, now: Instant) -> bool {
        let prefix_changed = advert.prefix.is_some_and(|prefix| self.hear_prefix(&prefix, now));
        let end = now.plus(advert.lifetime);
        let known = self.routers.iter().position(|router| router.address == advert.router);
        let router = Router { address: advert.router, until: end, mtu: advert.mtu };
        let router_changed = match (known, advert.lifetime.is_zero()) {
            (Some(index), true) => {
                self.routers.remove(index);
                true
            }
            (Some(index), false) => self.routers.get_mut(index).is_some_and(|known| {
                let before = core::mem::replace(known, router);
                before.mtu != advert.mtu
            }),
            (None, true) => false,
            (None, false) => self.routers.push(router).is_ok(),
        };
        if !self.routers.is_empty() {
            self.solicits = 0;
        }
        prefix_changed || router_changed
    }

    fn hear_prefix(&mut self, prefix: &NdiscPrefixInformation, now: Instant) -> bool {
        let usable = prefix.flags.contains(NdiscPrefixInfoFlags::ADDRCONF)
            && prefix.prefix_len == 64
            && prefix.preferred_lifetime <= prefix.valid_lifetime
            && !prefix.prefix.is_unicast_link_local()
            && !prefix.prefix.is_multicast()
            && !prefix.prefix.is_unspecified();
        let network = Ipv6Cidr::new(prefix.prefix, 64);
        let Some(address) = Ipv6Cidr::from_link_prefix(&network, HardwareAddress::Ethernet(self.hardware))
        else {
            return false;
        };
        if !usable {
            return false;
        }
        let valid = Duration::from(prefix.valid_lifetime);
        match self.addresses.iter_mut().find(|(known, _)| *known == address) {
            Some((_, end)) => {
                let remaining = end.since(now);
                let kept =
                    if valid > TWO_HOURS || valid > remaining { valid } else { remaining.min(TWO_HOURS) };
                *end = now.plus(kept);
                false
            }
            None => !valid.is_zero() && self.addresses.push((address, now.plus(valid))).is_ok(),
        }
    }

    /// Forgets what is no longer valid. Whether there was any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.addresses.len() + self.routers.len();
        self.addresses.retain(|(_, end)| *end > now);
        self.routers.retain(|router| router.until > now);
        if self.routers.is_empty() && self.solicits == 0 {
            self.solicit_at = self.solicit_at.max(now);
        }
        self.addresses.len() + self.routers.len() != before
    }

    /// The question to the routers, if it is due.
    pub(super) fn solicit_due(&self, now: Instant) -> bool {
        self.routers.is_empty() && self.solicit_at <= now
    }

    /// Notes that the question was sent.
    pub(super) fn solicited(&mut self, now: Instant) {
        self.solicits = self.solicits.saturating_add(1);
        let doublings = self.solicits.saturating_sub(QUICK_SOLICITS).min(16);
        self.solicit_at = now.plus(SOLICIT_INTERVAL.saturating_mul(1 << doublings).min(SOLICIT_INTERVAL_MAX));
    }

    /// Length of the frame that [`Self::write_solicit`] writes.
    pub(super) fn solicit_len(&self) -> usize {
        EthernetFrame::<&[u8]>::header_len()
            + self.solicit_ip(Ipv6Addr::UNSPECIFIED).buffer_len()
            + self.solicit().buffer_len()
    }

    /// Writes the question to all routers, from our link-local address `from`, into a frame of
    /// [`Self::solicit_len`].
    pub(super) fn write_solicit(&self, from: Ipv6Addr, frame: &mut [u8]) {
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_src_addr(self.hardware);
        ethernet.set_dst_addr(EthernetAddress([0x33, 0x33, 0, 0, 0, 2]));
        ethernet.set_ethertype(EthernetProtocol::Ipv6);
        let mut ip = Ipv6Packet::new_unchecked(ethernet.payload_mut());
        self.solicit_ip(from).emit(&mut ip);
        let mut icmp = Icmpv6Packet::new_unchecked(ip.payload_mut());
        self.solicit().emit(&from, &ALL_ROUTERS, &mut icmp, &ChecksumCapabilities::default());
    }

    fn solicit(&self) -> Icmpv6Repr<'static> {
        Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: Some(RawHardwareAddress::from(self.hardware)) })
    }

    fn solicit_ip(&self, from: Ipv6Addr) -> Ipv6Repr {
        Ipv6Repr {
            src_addr: from,
            dst_addr: ALL_ROUTERS,
            next_header: IpProtocol::Icmpv6,
            payload_len: self.solicit().buffer_len(),
            hop_limit: 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::ProptestConfig;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn discovery() -> RouterDiscovery {
        RouterDiscovery::new(EthernetAddress([2, 0, 0, 0, 0, 1]), Instant { micros: 0 })
    }

    fn seconds(seconds: u64) -> Instant {
        Instant { micros: seconds * 1_000_000 }
    }

    fn advert(lifetime: u64, valid: u32) -> RouterAdvert {
        let prefix = NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF,
            valid_lifetime: smoltcp::time::Duration::from_secs(valid.into()),
            preferred_lifetime: smoltcp::time::Duration::from_secs(0),
            prefix: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        };
        let lifetime = Duration::from_secs(lifetime);
        RouterAdvert { router: ROUTER, lifetime, prefix: Some(prefix), mtu: None }
    }

    #[test]
    fn a_prefix_becomes_an_address_until_it_runs_out() {
        let mut discovery = discovery();
        assert!(discovery.hear(advert(100, 50), seconds(1)));
        let expected = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0xff, 0xfe00, 1);
        assert_eq!(discovery.addresses().next(), Some(Ipv6Cidr::new(expected, 64)));
        assert_eq!((discovery.router(), discovery.deadline()), (Some(ROUTER), Some(seconds(51))));
        assert!(!discovery.hear(advert(100, 60), seconds(2)), "the same again changes times alone");
        assert!(discovery.expire(seconds(62)) && discovery.addresses().next().is_none());
        assert!(discovery.expire(seconds(102)) && discovery.router().is_none());
        assert!(discovery.solicit_due(seconds(102)), "a lost router is asked for again");
    }

    #[test]
    fn one_forged_announcement_cannot_end_an_address_at_once() {
        let mut discovery = discovery();
        discovery.hear(advert(100, 100_000), seconds(0));
        discovery.hear(advert(100, 0), seconds(0));
        discovery.expire(seconds(7199));
        assert!(discovery.addresses().next().is_some());
        discovery.expire(seconds(7200));
        assert!(discovery.addresses().next().is_none());
    }

    #[test]
    fn the_smallest_packet_size_of_all_routers_counts_as_long_as_they_are_there() {
        let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let mut discovery = discovery();
        discovery.hear(RouterAdvert { mtu: Some(1400), ..advert(100, 100) }, seconds(0));
        discovery.hear(RouterAdvert { router: other, mtu: Some(1450), ..advert(200, 100) }, seconds(0));
        assert_eq!(discovery.mtu(), Some(1400));
        assert!(discovery.expire(seconds(100)));
        assert_eq!(discovery.mtu(), Some(1450));
        assert!(discovery.hear(RouterAdvert { router: other, ..advert(200, 100) }, seconds(101)), "a change");
        assert_eq!(discovery.mtu(), None);
    }

    #[test]
    fn routers_are_asked_for_three_times_quickly_and_then_ever_more_seldom() {
        let mut discovery = discovery();
        let mut asked = std::vec::Vec::new();
        for second in 0..120 {
            if discovery.solicit_due(seconds(second)) {
                discovery.solicited(seconds(second));
                asked.push(second);
            }
        }
        assert_eq!(asked, [0, 4, 8, 12, 20, 36, 68]);
    }

    #[test]
    fn the_question_is_a_valid_router_solicitation() {
        let discovery = discovery();
        let from = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1);
        let mut frame = std::vec![0xaa; discovery.solicit_len()];
        discovery.write_solicit(from, &mut frame);
        let frame = EthernetFrame::new_checked(&frame[..]).unwrap();
        let ip = Ipv6Packet::new_checked(frame.payload()).unwrap();
        let icmp = Icmpv6Packet::new_checked(ip.payload()).unwrap();
        let message = Icmpv6Repr::parse(&from, &ip.dst_addr(), &icmp, &ChecksumCapabilities::default());
        assert!(matches!(message, Ok(Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit { lladdr: Some(_) }))));
    }

    /// An announcement with these bytes after its type, and a good checksum.
    fn announcement(body: &[u8]) -> std::vec::Vec<u8> {
        let mut bytes = std::vec![0; 14 + 40 + 2 + body.len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
        frame.set_ethertype(EthernetProtocol::Ipv6);
        let (next_header, payload_len) = (IpProtocol::Icmpv6, 2 + body.len());
        let ip = Ipv6Repr { src_addr: ROUTER, dst_addr: ALL_NODES, next_header, payload_len, hop_limit: 255 };
        ip.emit(&mut Ipv6Packet::new_unchecked(frame.payload_mut()));
        bytes[54] = 134;
        bytes[56..].copy_from_slice(body);
        if body.len() >= 2 {
            Icmpv6Packet::new_unchecked(&mut bytes[54..]).fill_checksum(&ROUTER, &ALL_NODES);
        }
        bytes
    }

    proptest::proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_announcement_stops_or_fills_us(
            bodies in proptest::collection::vec(proptest::collection::vec(0..40u8, 0..64), 0..20),
        ) {
            let mut discovery = discovery();
            for (second, body) in (0..).zip(bodies) {
                if let Some(advert) = RouterAdvert::parse(&announcement(&body)) {
                    discovery.hear(advert, seconds(second));
                }
                discovery.expire(seconds(second));
                proptest::prop_assert!(discovery.addresses().count() <= KEPT);
            }
        }
    }

    #[test]
    fn an_announcement_on_the_wire_is_understood() {
        // Hop limit 64, lifetime 256 s, then a prefix of 64 bits for addresses, valid and preferred for 4096
        // s.
        let mut body = std::vec![0, 0, 64, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        body.extend([3, 4, 64, 0xc0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0, 0, 0, 0]);
        body.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut discovery = discovery();
        assert!(discovery.hear(RouterAdvert::parse(&announcement(&body)).unwrap(), seconds(0)));
        assert_eq!((discovery.addresses().count(), discovery.deadline()), (1, Some(seconds(256))));
        assert_eq!(discovery.mtu(), None);
        for (mtu, heard) in [([0, 0, 5, 0xaa], Some(1450)), ([0, 0, 4, 0xff], None), ([0, 1, 5, 0xdc], None)]
        {
            let said = [&body[..], &[5, 1, 0, 0], &mtu[..]].concat();
            assert_eq!(RouterAdvert::parse(&announcement(&said)).unwrap().mtu, heard, "{mtu:?}");
        }
        let mut forwarded = announcement(&body);
        forwarded[21] = 254;
        assert_eq!(RouterAdvert::parse(&forwarded), None, "came from another network");
    }
}
