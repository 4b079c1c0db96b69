//! What is set for each network card: a network of its own.
//!
//! Knows the keys that come once for each card: plain for the first network, with `.2` to `.4` behind for further ones. Must not
//! know cards.

use super::Settings;
use super::keys::{Key, parse_or, put};
use super::value::{self, Expected, Ip4, Ip6, Network};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// Network cards that are used.
pub const NETWORKS_MAX: usize = 4;
/// Static routes of a network.
const ROUTES_MAX: usize = 8;

/// One network card's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Which card it is. The next one that no other network names, in the order of their places, where it is not given.
    pub card: Option<Card>,
    /// Its IPv4 address.
    pub ip: Ip4,
    /// Its IPv4 gateway, beside an address that is given; with DHCP the server's answer counts.
    pub gateway: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub ip6: Ip6,
    /// Its IPv6 gateway, beside an address that is given; with SLAAC the routers' word counts.
    pub gateway6: Option<Ipv6Addr>,
    /// The largest packet that it sends, if the card and the network allow as much.
    pub mtu: Option<u16>,
    /// Networks behind gateways of their own.
    pub routes: Vec<Route>,
}

impl Default for NetworkSettings {
    fn default() -> NetworkSettings {
        let (ip, ip6) = (Ip4::Dhcp, Ip6::Auto);
        NetworkSettings { card: None, ip, gateway: None, ip6, gateway6: None, mtu: None, routes: Vec::new() }
    }
}

/// A card by what does not depend on the order in which cards are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// By its Ethernet address.
    Address([u8; 6]),
    /// By its place on PCI.
    Pci {
        /// The bus.
        bus: u8,
        /// The device there.
        device: u8,
        /// The function of it.
        function: u8,
    },
}

impl FromStr for Card {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Card, Expected> {
        const FORM: Expected =
            Expected("an Ethernet address such as 52:54:00:12:34:56, or a place on PCI such as 00:03.0");
        let hex = |text: &str, len: usize| {
            let good = text.len() == len && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if good { u8::from_str_radix(text, 16).map_err(|_| FORM) } else { Err(FORM) }
        };
        if let Some((place, function)) = text.split_once('.') {
            let (bus, device) = place.split_once(':').ok_or(FORM)?;
            let (bus, device, function) = (hex(bus, 2)?, hex(device, 2)?, hex(function, 1)?);
            return if device < 32 && function < 8 {
                Ok(Card::Pci { bus, device, function })
            } else {
                Err(FORM)
            };
        }
        let bytes: Result<Vec<u8>, Expected> = text.split(':').map(|byte| hex(byte, 2)).collect();
        bytes?.try_into().map(Card::Address).map_err(|_| FORM)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Card::Address([a, b, c, d, e, g]) => write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"),
            Card::Pci { bus, device, function } => write!(f, "{bus:02x}:{device:02x}.{function:x}"),
        }
    }
}

/// A network that is reached by a gateway of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub network: Network,
    /// Who carries what is for there: of the same family.
    pub gateway: IpAddr,
}

impl FromStr for Route {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Route, Expected> {
        const FORM: Expected =
            Expected("networks with their gateways such as 10.1.0.0/16 192.168.1.254, at most eight");
        let (network, gateway) = text.trim().split_once(char::is_whitespace).ok_or(FORM)?;
        let network: Network = network.parse().map_err(|_| FORM)?;
        let gateway: IpAddr = gateway.trim().parse().map_err(|_| FORM)?;
        let is_host = !gateway.is_unspecified()
            && !gateway.is_multicast()
            && !gateway.is_loopback()
            && gateway != IpAddr::V4(Ipv4Addr::BROADCAST);
        let fits = network.address.is_ipv4() == gateway.is_ipv4();
        if fits && is_host { Ok(Route { network, gateway }) } else { Err(FORM) }
    }
}

fn parse_routes(text: &str) -> Result<Vec<Route>, Expected> {
    let routes: Vec<Route> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    if routes.len() <= ROUTES_MAX {
        Ok(routes)
    } else {
        Err(Expected("at most eight networks with their gateways"))
    }
}

fn set_card(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.card, text.parse().map(Some))
}

fn set_ip(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.ip, text.parse())
}

fn set_gateway(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.gateway, parse_or(text, "an IPv4 address such as 192.168.1.1").map(Some))
}

fn set_ip6(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.ip6, text.parse())
}

fn set_gateway6(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.gateway6, parse_or(text, "an IPv6 address such as fe80::1").map(Some))
}

fn set_mtu(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.mtu, value::parse_mtu(text).map(Some))
}

fn set_route(settings: &mut NetworkSettings, text: &str) -> Result<(), Expected> {
    put(&mut settings.routes, parse_routes(text))
}

pub(super) const CARD: Key = Key {
    name: "card",
    values: "ETHERNET-ADDRESS | PLACE",
    default: "the first by its place",
    meaning: "its network card, by address or by place on PCI such as 00:03.0, as the log names it",
    at_once: false,
    set: |settings, text| set_card(&mut settings.networks[0], text),
};

pub(super) const IP: Key = Key {
    name: "ip",
    values: "dhcp | none | ADDRESS/PREFIX",
    default: "dhcp",
    meaning: "its IPv4 address",
    at_once: false,
    set: |settings, text| set_ip(&mut settings.networks[0], text),
};

pub(super) const GATEWAY: Key = Key {
    name: "gateway",
    values: "ADDRESS",
    default: "none: with ip=dhcp the server says it",
    meaning: "its IPv4 gateway, beside an address that is given",
    at_once: false,
    set: |settings, text| set_gateway(&mut settings.networks[0], text),
};

pub(super) const IP6: Key = Key {
    name: "ip6",
    values: "auto | none | ADDRESS/PREFIX",
    default: "auto",
    meaning: "its IPv6 address; auto asks the routers",
    at_once: false,
    set: |settings, text| set_ip6(&mut settings.networks[0], text),
};

pub(super) const GATEWAY6: Key = Key {
    name: "gateway6",
    values: "ADDRESS",
    default: "none: with ip6=auto the routers say it",
    meaning: "its IPv6 gateway, beside an address that is given",
    at_once: false,
    set: |settings, text| set_gateway6(&mut settings.networks[0], text),
};

pub(super) const MTU: Key = Key {
    name: "mtu",
    values: "1280 to 9216",
    default: "what the card and the network allow",
    meaning: "bytes of the largest packet that it sends; where the card, the DHCP server or a router allows less, less",
    at_once: false,
    set: |settings, text| set_mtu(&mut settings.networks[0], text),
};

pub(super) const ROUTE: Key = Key {
    name: "route",
    values: "NETWORK GATEWAY, NETWORK GATEWAY…",
    default: "none: everything else goes to the gateway",
    meaning: "networks that are reached by gateways of their own, at most eight",
    at_once: false,
    set: |settings, text| set_route(&mut settings.networks[0], text),
};

/// The keys of the network of that number.
macro_rules! numbered {
    ($suffix:literal, $index:literal) => {
        [
            numbered!("card", $suffix, $index, set_card, CARD),
            numbered!("ip", $suffix, $index, set_ip, IP),
            numbered!("gateway", $suffix, $index, set_gateway, GATEWAY),
            numbered!("ip6", $suffix, $index, set_ip6, IP6),
            numbered!("gateway6", $suffix, $index, set_gateway6, GATEWAY6),
            numbered!("mtu", $suffix, $index, set_mtu, MTU),
            numbered!("route", $suffix, $index, set_route, ROUTE),
        ]
    };
    ($name:literal, $suffix:literal, $index:literal, $set:ident, $base:ident) => {
        Key {
            name: concat!($name, $suffix),
            set: |settings: &mut Settings, text: &str| $set(&mut settings.networks[$index], text),
            ..$base
        }
    };
}

/// The keys of further networks.
const NUMBERED: [[Key; 7]; NETWORKS_MAX - 1] = [numbered!(".2", 1), numbered!(".3", 2), numbered!(".4", 3)];

/// Every key of further networks.
pub(super) fn numbered() -> impl Iterator<Item = &'static Key> {
    const { &NUMBERED }.iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn a_card_is_named_by_its_address_or_its_place() {
        assert_eq!("52:54:00:AB:cd:01".parse(), Ok(Card::Address([0x52, 0x54, 0, 0xab, 0xcd, 1])));
        assert_eq!("0a:1f.7".parse(), Ok(Card::Pci { bus: 10, device: 31, function: 7 }));
        for bad in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:01:02",
            "+5:54:00:ab:cd:01",
            "00:20.0",
            "00:03.8",
            "00:3.0",
            "0.0",
            "eth0",
        ] {
            assert!(bad.parse::<Card>().is_err(), "{bad}");
        }
    }

    #[test]
    fn routes_lead_to_networks_by_gateways_of_the_same_family() {
        let routes = parse_routes("10.1.0.0/16 192.168.1.254, fd01::/48  fe80::2").unwrap();
        assert_eq!(routes[0].gateway.to_string(), "192.168.1.254");
        assert_eq!((routes[1].network.prefix, routes[1].gateway.to_string()), (48, "fe80::2".to_string()));
        let nine = ["10.0.0.0/8 10.0.0.1"; 9].join(",");
        for bad in [
            "",
            "10.0.0.0/8",
            "10.0.0.0/8 fe80::1",
            "10.0.0.0/8 0.0.0.0",
            "10.0.0.0/8 255.255.255.255",
            "x 1.2.3.4",
            "10.0.0.0/8 10.0.0.1,",
            &nine,
        ] {
            assert!(parse_routes(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_card_reads_what_it_prints(address: [u8; 6], bus: u8, device in 0..32_u8, function in 0..8_u8) {
            for card in [Card::Address(address), Card::Pci { bus, device, function }] {
                prop_assert_eq!(card.to_string().parse(), Ok(card));
            }
        }

        #[test]
        fn any_text_is_a_card_or_a_route_or_not(text in "\\PC{0,40}") {
            let _ = (text.parse::<Card>(), parse_routes(&text));
        }
    }
}
