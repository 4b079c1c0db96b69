//! Network cards of virtual machines (VIRTIO 1.2, section 5.1).
//!
//! Knows frames: where the card puts them, where it fetches them. Must not know what is in them.
//!
//! A frame that arrives is read where the card wrote it; a frame that leaves is composed where the card
//! fetches it: no copy on our side. Interrupts are on only while [`Nic::ready`] waits: under load frames are
//! taken in turns, without one. Likewise the card is told of new buffers and frames once a turn, not once a
//! frame.
//!
//! TCP's checksums are left to the card where it offers that, and so is the cutting of TCP over IPv4 into segments;
//! frames of several segments are asked for and put together here from the buffers that they are in. All that works
//! through frames then does so once for up to 64 KiB. Over IPv6 smoltcp 0.14 drops what is longer than a packet, so
//! nothing is cut there. One pair of queues will do, as one processor owns the stack.

mod header;
mod ring;
#[cfg(test)]
mod tests;

use super::signal::Signal;
use super::{Problem, begin, consistent, negotiate_by, reset};
use alloc::rc::Rc;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::num::NonZeroUsize;
use core::pin::pin;
use futures_util::future::{Either, select};
use header::{MERGED_MAX, Offload};
use net::tcp::Nic;
use ring::{Arrived, Nonsense, Receiver, RxToken, Sender, TxToken};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use virtio_drivers::Hal;
use virtio_drivers::transport::Transport;

const FEATURE_MTU: u64 = 1 << 3;
const FEATURE_MAC: u64 = 1 << 5;
const FEATURE_STATUS: u64 = 1 << 16;
const WANTED: u64 = FEATURE_MTU | FEATURE_MAC | FEATURE_STATUS;

const MAC_AT: usize = 0;
const STATUS_AT: usize = 6;
const MTU_AT: usize = 10;
const STATUS_LINK_UP: u16 = 1;

const MTU_DEFAULT: u16 = 1500;
/// IPv6 asks for as much (RFC 8200, 5); a card with less is set up wrongly.
const MTU_MIN: u16 = 1280;
const MTU_MAX: u16 = 9216;
/// Ethernet's header and a VLAN tag, which switches may leave on.
const ETHERNET_MAX: usize = 18;
const ETHERNET_LEN: usize = 14;

/// Frames or buffers that the card may be told of late.
const UNTOLD_MAX: usize = 32;

/// A card's figures, shared with whoever shows them.
#[derive(Debug, Default)]
pub struct NetworkStatus {
    /// Its Ethernet address.
    pub address: Cell<[u8; 6]>,
    /// Whether the cable is in.
    pub link: Cell<bool>,
    /// Frames dropped because they made no sense.
    pub malformed: Cell<u64>,
}

/// A network card.
pub struct VirtioNetwork<T: Transport> {
    transport: T,
    /// Kept for ever if the device cannot be stopped.
    receiver: ManuallyDrop<Receiver>,
    sender: ManuallyDrop<Sender>,
    signal: Signal,
    configuration: Option<Signal>,
    mtu: u16,
    offload: Offload,
    has_link_state: bool,
    /// A frame could not be sent for want of a place since the last wait.
    starving: bool,
    broken: bool,
    status: Rc<NetworkStatus>,
}

impl<T: Transport> VirtioNetwork<T> {
    /// Starts the card. `signal` tells of frames, `configuration` of the cable; `fallback` is its Ethernet
    /// address if it has none of its own.
    pub fn open<H: Hal + 'static>(
        mut transport: T,
        signal: Signal,
        configuration: Option<Signal>,
        fallback: [u8; 6],
    ) -> Result<VirtioNetwork<T>, Problem> {
        let features = negotiate_by(&mut transport, |offered| WANTED | Offload::choose(offered))?;
        let offload = Offload::agreed(features);
        let mtu = mtu(&transport, features)?;
        let frame_max = usize::from(mtu) + ETHERNET_MAX;
        let address = if features & FEATURE_MAC == 0 {
            fallback
        } else {
            consistent(&transport, |t| t.read_config_space::<[u8; 6]>(MAC_AT))?
        };
        let receiver = ManuallyDrop::new(Receiver::open::<H, T>(&mut transport, frame_max, offload)?);
        let sender = ManuallyDrop::new(Sender::open::<H, T>(&mut transport, frame_max, offload)?);
        let status = Rc::new(NetworkStatus::default());
        status.address.set(address);
        let has_link_state = features & FEATURE_STATUS != 0;
        let mut card = VirtioNetwork {
            transport,
            receiver,
            sender,
            signal,
            configuration,
            mtu,
            offload,
            has_link_state,
            starving: false,
            broken: false,
            status,
        };
        begin(&mut card.transport)?;
        card.receiver.fill();
        card.tell();
        card.status.link.set(card.read_link());
        Ok(card)
    }

    /// Its figures.
    pub fn status(&self) -> Rc<NetworkStatus> {
        Rc::clone(&self.status)
    }

    /// The largest packet in an Ethernet frame, in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    fn read_link(&self) -> bool {
        let status = consistent(&self.transport, |t| t.read_config_space::<u16>(STATUS_AT));
        !self.has_link_state || status.is_ok_and(|status| status & STATUS_LINK_UP != 0)
    }

    /// Looks at the cable again.
    fn configuration_changed(&self) {
        let up = self.read_link();
        if self.status.link.replace(up) != up {
            log::info!("network card: link {}", if up { "up" } else { "down" });
        }
    }

    /// Tells the card of buffers and frames that it does not know of yet.
    fn tell(&mut self) {
        for ring in [&mut self.receiver.side, &mut self.sender.side] {
            if ring.take_untold() {
                self.transport.notify(ring.index());
            }
        }
    }

    fn tell_if_many(&mut self) {
        if self.receiver.side.untold() + self.sender.side.untold() >= UNTOLD_MAX {
            self.tell();
        }
    }

    fn give_up(&mut self, problem: Problem) {
        log::error!("network card {problem}; it is not used any more");
        self.broken = true;
        self.status.link.set(false);
        if reset(&mut self.transport).is_err() {
            log::error!("network card does not reset either; its memory is never used again");
        }
    }

    /// The next frame that makes sense.
    fn next_frame(&mut self) -> Option<Arrived> {
        while !self.broken {
            match self.receiver.next() {
                Ok(Some(Ok(frame))) => return Some(frame),
                Ok(Some(Err(Nonsense))) => self.status.malformed.set(self.status.malformed.get() + 1),
                Ok(None) => return None,
                Err(problem) => self.give_up(problem),
            }
        }
        None
    }

    /// Whether a frame can be sent; takes back what has been sent.
    fn can_send(&mut self) -> bool {
        if self.broken {
            return false;
        }
        if let Err(problem) = self.sender.reclaim() {
            self.give_up(problem);
            return false;
        }
        let free = self.sender.has_spare();
        self.starving |= !free;
        free
    }

    /// Whether another turn can get something done. While there is no place to send from, nothing can be received
    /// either, as an answer may be due at once.
    fn has_news(&self) -> bool {
        let side = if self.starving { &self.sender.side } else { &self.receiver.side };
        !self.broken && side.has_answers()
    }
}

/// The card's largest packet.
fn mtu<T: Transport>(transport: &T, features: u64) -> Result<u16, Problem> {
    if features & FEATURE_MTU == 0 {
        return Ok(MTU_DEFAULT);
    }
    let mtu = consistent(transport, |t| t.read_config_space::<u16>(MTU_AT))?;
    if mtu < MTU_MIN {
        return Err(Problem::Configuration { what: "the MTU", value: mtu.into() });
    }
    Ok(mtu.min(MTU_MAX))
}

impl<T: Transport> Device for VirtioNetwork<T> {
    type RxToken<'a>
        = RxToken<'a>
    where
        T: 'a;
    type TxToken<'a>
        = TxToken<'a>
    where
        T: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_>, TxToken<'_>)> {
        self.tell_if_many();
        if !self.can_send() {
            return None;
        }
        let Some(frame) = self.next_frame() else {
            // The turn's incoming half is over.
            self.tell();
            return None;
        };
        Some((self.receiver.token(frame), self.sender.token()))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_>> {
        self.tell_if_many();
        self.can_send().then(|| self.sender.token())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + ETHERNET_LEN;
        capabilities.max_burst_size = Some(64);
        capabilities.checksum.tcp = match (self.offload.sums_in, self.offload.sums_out) {
            (false, false) => Checksum::Both,
            (false, true) => Checksum::Rx,
            (true, false) => Checksum::Tx,
            (true, true) => Checksum::None,
        };
        capabilities.segmentation.tcpv4 = NonZeroUsize::new(MERGED_MAX).filter(|_| self.offload.segments_out);
        capabilities
    }
}

impl<T: Transport> Nic for VirtioNetwork<T> {
    fn hardware_address(&self) -> [u8; 6] {
        self.status.address.get()
    }

    async fn ready(&mut self) {
        self.tell();
        while !self.has_news() {
            self.receiver.side.set_interrupts(!self.starving && !self.broken);
            self.sender.side.set_interrupts(self.starving && !self.broken);
            // What came before the switch will not interrupt.
            if self.has_news() {
                break;
            }
            let Some(configuration) = &self.configuration else {
                self.signal.wait().await;
                continue;
            };
            let (queues, change) = (pin!(self.signal.wait()), pin!(configuration.wait()));
            if let Either::Right(_) = select(queues, change).await {
                self.configuration_changed();
            }
        }
        self.receiver.side.set_interrupts(false);
        self.sender.side.set_interrupts(false);
        self.starving = false;
    }
}

impl<T: Transport> Drop for VirtioNetwork<T> {
    fn drop(&mut self) {
        if reset(&mut self.transport).is_ok() {
            // SAFETY: dropped here alone, and not used after.
            unsafe { ManuallyDrop::drop(&mut self.receiver) };
            // SAFETY: as above.
            unsafe { ManuallyDrop::drop(&mut self.sender) };
        }
    }
}
