//! The node's networks: its cards, their addresses, and saying on the console what they are.
//!
//! Knows the settings that concern addresses, and which card they are for. Must not know TCP, nor services.

use crate::devices::FoundCard;
use crate::disk::Place;
use crate::entropy;
use crate::executor::spawn;
use crate::executor::timers::sleep_until;
use crate::time::{self, KernelClock};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::select;
use net::tcp::{
    Ipv4Settings, Ipv4Status, Ipv6Settings, Member, NetSettings, NetStatus, Networks, Stack, StaticRoute,
    TcpLimits,
};
use storage::settings::{Card, Ip4, Ip6, NETWORKS_MAX, NetworkSettings, Settings};

/// When to say that no address has come yet.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to say it again.
const REMINDER: Duration = Duration::from_secs(300);

/// Starts every card. `None`: there is no network, and the console says why.
pub(super) fn start(cards: Vec<FoundCard>, settings: &Settings, limits: TcpLimits) -> Option<Networks> {
    let found: Vec<_> = cards.iter().map(|card| (card.card.status().address.get(), card.place)).collect();
    let numbers = assign(&found, &settings.networks);
    tell_missing(&numbers, &settings.networks);
    let count = numbers.iter().flatten().count();
    let mut cards: Vec<_> = cards.into_iter().map(Some).collect();
    let mut members = Vec::new();
    for (number, index) in numbers.iter().enumerate() {
        let found = index.and_then(|index| cards.get_mut(index)?.take());
        let (Some(found), Some(own)) = (found, settings.networks.get(number)) else { continue };
        // One card needs no number.
        let name = if count == 1 { String::new() } else { format!("network {}: ", number + 1) };
        if count > 1 {
            let address = Card::Address(found.card.status().address.get());
            log::info!("{name}the card {address} at {}", found.place);
        }
        members.extend(start_one(found, own, limits.for_each_of(count), name));
    }
    cards.iter().flatten().for_each(|card| log::warn!("the network card at {} is not used", card.place));
    if members.is_empty() {
        log::error!("no network: give the machine a network card, a virtio one or one of Intel's");
        return None;
    }
    Some(Networks::new(members))
}

/// One card's network; `name` begins what is said of it.
fn start_one(
    found: FoundCard,
    settings: &NetworkSettings,
    limits: TcpLimits,
    name: String,
) -> Option<Member> {
    let rng = match entropy::rng() {
        Ok(rng) => rng,
        Err(error) => {
            log::error!("{name}no network: no randomness: {error}");
            return None;
        }
    };
    let status = found.card.status();
    match Stack::new(found.card, net_settings(settings), limits, rng, time::now()) {
        Ok((stack, runner)) => {
            spawn(async move {
                runner.run(KernelClock).await;
            });
            spawn(tell_addresses(stack.clone(), name));
            Some(Member { stack, link: Box::new(move || status.link.get()) })
        }
        Err(error) => {
            log::error!("{name}no network: {error}");
            None
        }
    }
}

/// Which of the cards found each network is on: those that are named first, the others in the order of their places.
fn assign(
    found: &[([u8; 6], Place)],
    networks: &[NetworkSettings; NETWORKS_MAX],
) -> [Option<usize>; NETWORKS_MAX] {
    let is_named = |card: &Card, (address, place): &([u8; 6], Place)| match (*card, *place) {
        (Card::Address(named), _) => named == *address,
        (Card::Pci { bus, device, function }, Place::Pci(place)) => {
            (bus, device, function) == (place.bus, place.device, place.function)
        }
        (Card::Pci { .. }, Place::Memory(_)) => false,
    };
    let mut numbers = [None; NETWORKS_MAX];
    for (number, network) in numbers.iter_mut().zip(networks) {
        *number = network.card.and_then(|card| found.iter().position(|found| is_named(&card, found)));
    }
    // A card that two networks name is the first one's.
    for later in (1..NETWORKS_MAX).rev() {
        if numbers[..later].contains(&numbers[later]) {
            numbers[later] = None;
        }
    }
    let mut free =
        (0..found.len()).filter(|index| !numbers.contains(&Some(*index))).collect::<Vec<_>>().into_iter();
    for (number, network) in numbers.iter_mut().zip(networks) {
        if network.card.is_none() {
            *number = free.next();
        }
    }
    numbers
}

/// Says which networks have settings and no card.
fn tell_missing(numbers: &[Option<usize>; NETWORKS_MAX], networks: &[NetworkSettings; NETWORKS_MAX]) {
    for (number, (found, network)) in (1..).zip(numbers.iter().zip(networks)) {
        match (found, network.card) {
            (Some(_), _) => {}
            (None, Some(card)) => {
                log::error!(
                    "network {number}: there is no card {card} (or another network has it): not used"
                );
            }
            (None, None) if *network != NetworkSettings::default() => {
                log::error!("network {number}: it has settings, but there is no card for it");
            }
            (None, None) => {}
        }
    }
}

fn net_settings(settings: &NetworkSettings) -> NetSettings {
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
    let routes = settings.routes.iter().map(|route| StaticRoute {
        network: route.network.address,
        prefix: route.network.prefix,
        gateway: route.gateway,
    });
    NetSettings { ipv4, ipv6, mtu: settings.mtu, routes: routes.collect() }
}

/// Returns when there is an IPv4 address.
pub(super) async fn wait_for_ipv4(networks: &Networks) {
    while networks.status(time::now()).iter().all(|status| status.ipv4.address().is_none()) {
        networks.addresses_changed().await;
    }
}

/// Says every change of address, and that there is none.
async fn tell_addresses(stack: Stack, name: String) {
    let mut told: Option<NetStatus> = None;
    let mut patience = PATIENCE;
    loop {
        let status = stack.status(time::now());
        let address = status.ipv4.address();
        if address.is_some() && told.as_ref().is_none_or(|told| told.ipv4.address() != address) {
            log::info!("{name}{}", status.ipv4);
        }
        if told.as_ref().is_none_or(|told| told.mtu != status.mtu) {
            log::info!("{name}packets of at most {} bytes", status.mtu);
        }
        let known = told.as_ref().map(|told| told.ipv6.as_slice()).unwrap_or_default();
        for address in status.ipv6.iter().filter(|address| !known.contains(address)) {
            log::info!("{name}{address}");
        }
        let searching = matches!(status.ipv4, Ipv4Status::Searching { elapsed } if elapsed >= patience);
        if searching {
            log::warn!("{name}{}", status.ipv4);
            patience += REMINDER;
        }
        let pause = if matches!(status.ipv4, Ipv4Status::Searching { .. }) { PATIENCE } else { REMINDER };
        told = Some(status);
        let deadline = time::now().plus(pause);
        select(pin!(stack.addresses_changed()), pin!(sleep_until(deadline))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use virtio_drivers::transport::pci::bus::DeviceFunction;

    fn at(device: u8) -> ([u8; 6], Place) {
        ([2, 0, 0, 0, 0, device], Place::Pci(DeviceFunction { bus: 0, device, function: 0 }))
    }

    fn networks(cards: [Option<&str>; NETWORKS_MAX]) -> [NetworkSettings; NETWORKS_MAX] {
        cards.map(|card| NetworkSettings {
            card: card.map(|card| card.parse().unwrap()),
            ..NetworkSettings::default()
        })
    }

    #[test]
    fn cards_are_networks_in_the_order_of_their_places_unless_they_are_named() {
        let found = [at(2), at(3), at(4)];
        for (cards, numbers) in [
            ([None; 4], [Some(0), Some(1), Some(2), None]),
            ([Some("02:00:00:00:00:04"), None, None, None], [Some(2), Some(0), Some(1), None]),
            ([None, Some("00:02.0"), None, None], [Some(1), Some(0), Some(2), None]),
            ([None, Some("00:05.0"), None, None], [Some(0), None, Some(1), Some(2)]),
            ([Some("00:03.0"), Some("02:00:00:00:00:03"), None, None], [Some(1), None, Some(0), Some(2)]),
        ] {
            assert_eq!(assign(&found, &networks(cards)), numbers, "{cards:?}");
        }
        let memory = [([2, 0, 0, 0, 0, 9], Place::Memory(0xfeb0_0e00))];
        assert_eq!(
            assign(&memory, &networks([Some("00:00.0"), None, None, None])),
            [None, Some(0), None, None]
        );
    }

    #[test]
    fn more_cards_than_networks_are_left_out() {
        let found = [at(1), at(2), at(3), at(4), at(5)];
        assert_eq!(assign(&found, &networks([None; 4])), [Some(0), Some(1), Some(2), Some(3)]);
    }
}
