//! A gateway outside of the card's network, as clouds have them: the address stands alone (`/32`), and the router is a
//! neighbour all the same.
//!
//! Knows ARP. Must not know which gateway is taken, nor routes.
//!
//! smoltcp 0.14 hears ARP of its own networks only, and sends packets from an address in the network that they are for.
//! So it is told of another gateway, in its own network: one that stands in. Wherever ARP speaks of that, the true one's
//! address is put in its place on the way out, and the other way round.

use core::net::Ipv4Addr;
use smoltcp::wire::{ArpPacket, IpAddress, Ipv4Cidr};

/// Bytes of Ethernet's header and of ARP for IPv4 (RFC 826); what follows is padding.
const FRAME_LEN: usize = 14 + 28;

/// Such a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FarGateway {
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// What smoltcp takes for its address.
    pub(super) stand_in: Ipv4Addr,
}

impl FarGateway {
    /// That of a card with the address `own`; `None` at the ends of the address space, where no host's address is left that
    /// could stand in, and whatever a server gives there is a lie.
    pub(super) fn new(address: Ipv4Addr, own: Ipv4Cidr) -> Option<FarGateway> {
        // The network's own address is no host's. Where there is none, everything else is behind the gateway.
        let stand_in = match own.prefix_len() {
            0..=30 if own.network().address() != own.address() => own.network().address(),
            _ => Ipv4Addr::from_bits(own.address().to_bits() ^ 1),
        };
        IpAddress::Ipv4(stand_in).is_unicast().then_some(FarGateway { address, stand_in })
    }

    /// The card's network as smoltcp has to see it, so that the other one is in it.
    pub(super) fn network(self, own: Ipv4Cidr) -> Ipv4Cidr {
        Ipv4Cidr::new(own.address(), own.prefix_len().min(31))
    }

    /// Says the true address in an ARP packet of ours.
    pub(super) fn sent(self, frame: &mut [u8]) {
        let Some(Ok(mut arp)) = frame.get_mut(14..).map(ArpPacket::new_checked) else { return };
        if arp.target_protocol_addr() == self.stand_in.octets() {
            arp.set_target_protocol_addr(&self.address.octets());
        }
    }

    /// Says the other address in an ARP packet of the gateway. Empty for one of somebody who has that address, and whom the
    /// packets for the gateway would go to else.
    pub(super) fn received(self, frame: &[u8]) -> heapless::Vec<u8, FRAME_LEN> {
        let mut frame: heapless::Vec<u8, FRAME_LEN> = frame.iter().copied().take(FRAME_LEN).collect();
        let Some(Ok(mut arp)) = frame.get_mut(14..).map(ArpPacket::new_checked) else { return frame };
        if arp.source_protocol_addr() == self.address.octets() {
            arp.set_source_protocol_addr(&self.stand_in.octets());
        } else if arp.source_protocol_addr() == self.stand_in.octets() {
            frame.clear();
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_hosts_address_stands_in() {
        let stand_in = |own: [u8; 4], prefix| {
            let far = FarGateway::new(Ipv4Addr::new(172, 31, 1, 1), Ipv4Cidr::new(own.into(), prefix));
            far.map(|far| far.stand_in.octets())
        };
        assert_eq!(stand_in([203, 0, 113, 7], 32), Some([203, 0, 113, 6]));
        assert_eq!(stand_in([203, 0, 113, 7], 24), Some([203, 0, 113, 0]));
        assert_eq!(stand_in([203, 0, 113, 0], 24), Some([203, 0, 113, 1]));
        // smoltcp would panic on asking for these by ARP.
        assert_eq!(stand_in([0, 0, 0, 1], 32), None);
        assert_eq!(stand_in([5, 0, 0, 1], 1), None);
        assert_eq!(stand_in([255, 255, 255, 254], 32), None);
    }
}
