//! A network card, whoever made it. Knows which kinds there are; must not know how they work.

use crate::intel::IntelCard;
use crate::memory::mmio::Registers;
use crate::virtio::attached::Attached;
use crate::virtio::network::{NetworkStatus, VirtioNetwork};
use alloc::boxed::Box;
use alloc::rc::Rc;
use net::tcp::Nic;
use smoltcp::phy::{self, Device, DeviceCapabilities};
use smoltcp::time::Instant;

type Virtio = VirtioNetwork<Attached>;
type Intel = IntelCard<Registers>;

/// The network cards that we drive.
pub enum NetworkCard {
    /// A virtual machine's.
    Virtio(Box<Virtio>),
    /// Intel's.
    Intel(Box<Intel>),
}

/// The same for tokens.
pub enum Either<V, I> {
    /// Of a virtual machine's card.
    Virtio(V),
    /// Of Intel's.
    Intel(I),
}

impl NetworkCard {
    /// Its figures.
    pub fn status(&self) -> Rc<NetworkStatus> {
        match self {
            NetworkCard::Virtio(card) => card.status(),
            NetworkCard::Intel(card) => card.status(),
        }
    }
}

impl Device for NetworkCard {
    type RxToken<'a> = Either<<Virtio as Device>::RxToken<'a>, <Intel as Device>::RxToken<'a>>;
    type TxToken<'a> = Either<<Virtio as Device>::TxToken<'a>, <Intel as Device>::TxToken<'a>>;

    fn receive(&mut self, now: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        match self {
            NetworkCard::Virtio(card) => {
                card.receive(now).map(|(rx, tx)| (Either::Virtio(rx), Either::Virtio(tx)))
            }
            NetworkCard::Intel(card) => {
                card.receive(now).map(|(rx, tx)| (Either::Intel(rx), Either::Intel(tx)))
            }
        }
    }

    fn transmit(&mut self, now: Instant) -> Option<Self::TxToken<'_>> {
        match self {
            NetworkCard::Virtio(card) => card.transmit(now).map(Either::Virtio),
            NetworkCard::Intel(card) => card.transmit(now).map(Either::Intel),
        }
    }

    fn capabilities(&self) -> DeviceCapabilities {
        match self {
            NetworkCard::Virtio(card) => card.capabilities(),
            NetworkCard::Intel(card) => card.capabilities(),
        }
    }
}

impl Nic for NetworkCard {
    fn hardware_address(&self) -> [u8; 6] {
        match self {
            NetworkCard::Virtio(card) => card.hardware_address(),
            NetworkCard::Intel(card) => card.hardware_address(),
        }
    }

    async fn ready(&mut self) {
        match self {
            NetworkCard::Virtio(card) => card.ready().await,
            NetworkCard::Intel(card) => card.ready().await,
        }
    }
}

impl<V: phy::RxToken, I: phy::RxToken> phy::RxToken for Either<V, I> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        match self {
            Either::Virtio(token) => token.consume(take),
            Either::Intel(token) => token.consume(take),
        }
    }
}

impl<V: phy::TxToken, I: phy::TxToken> phy::TxToken for Either<V, I> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        match self {
            Either::Virtio(token) => token.consume(len, fill),
            Either::Intel(token) => token.consume(len, fill),
        }
    }

    fn set_meta(&mut self, meta: phy::PacketMeta) {
        match self {
            Either::Virtio(token) => token.set_meta(meta),
            Either::Intel(token) => token.set_meta(meta),
        }
    }
}
