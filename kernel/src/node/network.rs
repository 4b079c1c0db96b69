//! The node's network: its card, its addresses, and saying on the console what they are.
//!
//! Knows the settings that concern addresses. Must not know TCP, nor services.

use crate::devices::NetworkCard;
use crate::entropy;
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::time::{self, KernelClock};
use core::pin::pin;
use core::time::Duration;
use futures_util::future::select;
use net::tcp::{Ipv4Settings, Ipv4Status, Ipv6Settings, NetSettings, NetStatus, Stack, TcpLimits};
use storage::settings::{Ip4, Ip6, Settings};

/// When to say that no address has come yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to say it again.
const REMINDER: Duration = Duration::from_secs(300);

/// Starts the first card. `None`: there is no network, and the console says why.
pub(super) fn start(
    mut cards: impl Iterator<Item = NetworkCard>,
    settings: &Settings,
    limits: TcpLimits,
) -> Option<Stack> {
    let Some(card) = cards.next() else {
        log::error!("no network card found: give the machine a virtio one, or an Intel 82574");
        return None;
    };
    if cards.next().is_some() {
        log::warn!("only the first network card is used");
    }
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("no network: no randomness: {error}");
            return None;
        }
    };
    match Stack::new(card, net_settings(settings), limits, rng, time::now()) {
        Ok((stack, runner)) => {
            spawn(async move {
                runner.run(KernelClock).await;
            });
            spawn(tell_addresses(stack.clone()));
            Some(stack)
        }
        Err(error) => {
            log::error!("no network: {error}");
            None
        }
    }
}

fn net_settings(settings: &Settings) -> NetSettings {
    let ipv4 = match settings.ip {
        Ip4::Dhcp => Ipv4Settings::Dhcp,
        Ip4::Static { address, prefix } => {
            Ipv4Settings::Static { address, prefix, gateway: settings.gateway }
        }
        Ip4::None => Ipv4Settings::None,
    };
    let ipv6 = match settings.ip6 {
        Ip6::Auto => Ipv6Settings::Auto,
        Ip6::Static { address, prefix } => {
            Ipv6Settings::Static { address, prefix, gateway: settings.gateway6 }
        }
        Ip6::None => Ipv6Settings::None,
    };
    NetSettings { ipv4, ipv6, mtu: None }
}

/// Returns when there is an IPv4 address.
pub(super) async fn wait_for_ipv4(stack: &Stack) {
    while stack.status(time::now()).ipv4.address().is_none() {
        stack.addresses_changed().await;
    }
}

/// Says every change of address, and that there is none.
async fn tell_addresses(stack: Stack) {
    let mut told: Option<NetStatus> = None;
    let mut patience = PATIENCE;
    loop {
        let status = stack.status(time::now());
        let address = status.ipv4.address();
        if address.is_some() && told.as_ref().is_none_or(|told| told.ipv4.address() != address) {
            log::info!("{}", status.ipv4);
        }
        let known = told.as_ref().map(|told| told.ipv6.as_slice()).unwrap_or_default();
        for address in status.ipv6.iter().filter(|address| !known.contains(address)) {
            log::info!("{address}");
        }
        let searching = matches!(status.ipv4, Ipv4Status::Searching { elapsed } if elapsed >= patience);
        if searching {
            log::warn!("{}", status.ipv4);
            patience += REMINDER;
        }
        let pause = if matches!(status.ipv4, Ipv4Status::Searching { .. }) { PATIENCE } else { REMINDER };
        told = Some(status);
        let deadline = time::now().plus(pause);
        select(pin!(stack.addresses_changed()), pin!(sleep_until(deadline))).await;
    }
}
