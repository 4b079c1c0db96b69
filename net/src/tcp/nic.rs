//! The seam to a network card, and what the stack notes about the frames that pass.

use super::dhcp::{self, Grant};
use super::far_gateway::FarGateway;
use super::router::RouterAdvert;
use core::cell::{Cell, RefCell};
use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};

/// A network card: smoltcp's [`Device`] for Ethernet frames, and a way to sleep until there is something to
/// do.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Nic: Device {
    /// The card's own Ethernet address.
    fn hardware_address(&self) -> [u8; 6];

    /// Returns when [`Device::receive`] has a frame, or, if the last `transmit` or `receive` was refused for
    /// want of a place to send from, when there is one.
    ///
    /// Must not miss what happens between the last `receive` and this call; may return without reason; is
    /// dropped before it is done whenever the stack has something else to do, and then called anew.
    async fn ready(&mut self);
}

/// What passed the card, noted for the stack: smoltcp keeps these to itself.
#[derive(Default)]
pub(super) struct Traffic {
    /// A SYN came in: a listening socket may be used up.
    syn: Cell<bool>,
    /// A router announced itself.
    advert: Cell<Option<RouterAdvert>>,
    /// The frame was a DHCP server's grant.
    grant: RefCell<Option<Grant>>,
    /// The gateway outside of the card's network.
    far_gateway: Cell<Option<FarGateway>>,
    /// The card had no room for a frame.
    exhausted: Cell<bool>,
    /// Frames and bytes in and out.
    counters: Cell<super::FrameCounters>,
}

impl Traffic {
    pub(super) fn take_syn(&self) -> bool {
        self.syn.take()
    }

    pub(super) fn take_advert(&self) -> Option<RouterAdvert> {
        self.advert.take()
    }

    /// What the last frame said, if it was a grant.
    pub(super) fn take_grant(&self) -> Option<Grant> {
        self.grant.take()
    }

    pub(super) fn set_far_gateway(&self, far: Option<FarGateway>) {
        self.far_gateway.set(far);
    }

    pub(super) fn take_exhausted(&self) -> bool {
        self.exhausted.take()
    }

    pub(super) fn counters(&self) -> super::FrameCounters {
        self.counters.get()
    }

    fn received(&self, frame: &[u8]) {
        let mut counters = self.counters.get();
        counters.frames_in = counters.frames_in.wrapping_add(1);
        counters.bytes_in = counters.bytes_in.wrapping_add(frame.len() as u64);
        self.counters.set(counters);
        if is_syn(frame) {
            self.syn.set(true);
        } else if let Some(advert) = RouterAdvert::parse(frame) {
            self.advert.set(Some(advert));
        } else if let Some(grant) = dhcp::grant(frame) {
            self.grant.replace(Some(grant));
        }
    }

    fn sent(&self, len: usize) {
        let mut counters = self.counters.get();
        counters.frames_out = counters.frames_out.wrapping_add(1);
        counters.bytes_out = counters.bytes_out.wrapping_add(len as u64);
        self.counters.set(counters);
    }
}

/// Whether `frame` opens a TCP connection, as far as a glance shows (checksums are smoltcp's business).
fn is_syn(frame: &[u8]) -> bool {
    let opens = |payload: &[u8]| TcpPacket::new_checked(payload).is_ok_and(|tcp| tcp.syn() && !tcp.ack());
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => Ipv4Packet::new_checked(frame.payload())
            .is_ok_and(|ip| ip.next_header() == IpProtocol::Tcp && opens(ip.payload())),
        EthernetProtocol::Ipv6 => Ipv6Packet::new_checked(frame.payload())
            .is_ok_and(|ip| ip.next_header() == IpProtocol::Tcp && opens(ip.payload())),
        _ => false,
    }
}

fn is_arp(frame: &[u8]) -> bool {
    EthernetFrame::new_checked(frame).is_ok_and(|frame| frame.ethertype() == EthernetProtocol::Arp)
}

/// Whether `frame` is a datagram without a sender. The only one that smoltcp would look at is an answer of
/// DHCP, and it would panic on renewing the lease of a server at 0.0.0.0.
fn is_datagram_from_nobody(frame: &[u8]) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    frame.ethertype() == EthernetProtocol::Ipv4
        && Ipv4Packet::new_checked(frame.payload())
            .is_ok_and(|ip| ip.next_header() == IpProtocol::Udp && ip.src_addr().is_unspecified())
}

/// A card whose frames are noted in [`Traffic`], with the MTU that the operator set.
pub(super) struct Watched<'a, N> {
    pub(super) nic: &'a mut N,
    pub(super) traffic: &'a Traffic,
    /// Largest frame, in bytes with its Ethernet header.
    pub(super) frame_max: usize,
}

impl<N: Device> Device for Watched<'_, N> {
    type RxToken<'a>
        = WatchedRx<'a, N::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = WatchedTx<'a, N::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let traffic = self.traffic;
        let (receive, send) = self.nic.receive(now)?;
        Some((WatchedRx { token: receive, traffic }, WatchedTx { token: send, traffic }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        let traffic = self.traffic;
        let token = self.nic.transmit(now);
        if token.is_none() {
            traffic.exhausted.set(true);
        }
        token.map(|token| WatchedTx { token, traffic })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = self.nic.capabilities();
        capabilities.max_transmission_unit = self.frame_max;
        capabilities
    }
}

pub(super) struct WatchedRx<'a, T> {
    token: T,
    traffic: &'a Traffic,
}

impl<T: RxToken> RxToken for WatchedRx<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        let traffic = self.traffic;
        self.token.consume(|frame| {
            traffic.received(frame);
            if is_datagram_from_nobody(frame) {
                return take(&[]);
            }
            match traffic.far_gateway.get() {
                Some(far) if is_arp(frame) => take(&far.received(frame)),
                _ => take(frame),
            }
        })
    }
}

pub(super) struct WatchedTx<'a, T> {
    token: T,
    traffic: &'a Traffic,
}

impl<T: TxToken> TxToken for WatchedTx<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        self.traffic.sent(len);
        let far = self.traffic.far_gateway.get();
        self.token.consume(len, |frame| {
            let result = fill(frame);
            if let Some(far) = far.filter(|_| is_arp(frame)) {
                far.sent(frame);
            }
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
