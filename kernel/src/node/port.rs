//! A port that is open while the settings name networks that may come.
//!
//! Knows listeners and lists. Must not know what is served.

use super::live::Live;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::pin::pin;
use futures_util::future::{Either, select};
use net::tcp::{Networks, TcpStream};
use storage::settings::{Network, Settings};

/// A port, and who may use it.
pub(super) struct Port {
    pub(super) number: u16,
    /// In words: `serving venti`.
    pub(super) what: &'static str,
    /// The networks whose connections are taken.
    pub(super) networks: fn(&Settings) -> Vec<Network>,
}

impl Port {
    /// Takes connections for good, those that the settings allow: gives them to `take`, and those of strangers to `refuse`.
    pub(super) async fn serve(
        self,
        stack: Networks,
        live: Rc<Live>,
        mut take: impl FnMut(TcpStream),
        mut refuse: impl FnMut(TcpStream),
    ) {
        let mut listener = None;
        let mut told = Vec::new();
        loop {
            let changed = live.changed();
            let networks = (self.networks)(&live.get());
            if networks != told {
                self.tell(&networks);
                told.clone_from(&networks);
            }
            if networks.is_empty() {
                listener = None;
            } else if listener.is_none() {
                listener = super::listen(&stack, self.number);
            }
            let Some(listener) = &mut listener else {
                changed.await;
                continue;
            };
            let mut changed = pin!(changed);
            while let Either::Left((stream, _)) = select(pin!(listener.accept()), changed.as_mut()).await {
                let peer = stream.peer_address();
                if networks.iter().any(|network| network.contains(peer.ip())) {
                    take(stream);
                } else {
                    log::debug!("port {}: {peer} is in no network that the settings list", self.number);
                    refuse(stream);
                }
            }
        }
    }

    fn tell(&self, networks: &[Network]) {
        let list: Vec<_> = networks.iter().map(|network| format!("{network}")).collect();
        match list.is_empty() {
            true => log::info!("no longer {} on port {}", self.what, self.number),
            false => log::info!("{} on port {} to {}", self.what, self.number, list.join(", ")),
        }
    }
}
