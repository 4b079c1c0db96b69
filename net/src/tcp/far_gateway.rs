//! A gateway outside of the card's network, as clouds have them: the address stands alone (`/32`), and the router is a
//! neighbour all the same.
//!
//! Knows ARP. Must not know which gateway is taken, nor routes.
//!
//! smoltcp 0.14 hears ARP of its own networks only, and sends packets from an address in the network that they are for.
//! So it is told of another gateway, in its own network: one that stands in. Wherever ARP speaks of that, the true one's
//! address is put in its place on the way out, and the other way round.

use core::net::Ipv4Addr;
use smoltcp::wire::{ArpPacket, Ipv4Cidr};

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
    /// That of a card with the address `own`.
    pub(super) fn new(address: Ipv4Addr, own: Ipv4Cidr) -> FarGateway {
        // The network's own address is no host's. Where there is none, everything else is behind the gateway.
        let stand_in = match own.prefix_len() {
            0..=30 if own.network().address() != own.address() => own.network().address(),
            _ => Ipv4Addr::from_bits(own.address().to_bits() ^ 1),
        };
        FarGateway { address, stand_in }
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
