//! How the node is addressed, as a value. Knows no file that it is read from.

use super::error::SettingsError;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::wire::IpCidr;

/// The network as the operator wants it. The default is what suits most: DHCP, and IPv6 as routers announce
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetSettings {
    /// How IPv4 gets its address.
    pub ipv4: Ipv4Settings,
    /// How IPv6 gets its addresses.
    pub ipv6: Ipv6Settings,
    /// Largest IP packet, in bytes, if the card, the DHCP server and the routers allow as much.
    pub mtu: Option<u16>,
    /// Networks behind gateways of their own: at most [`ROUTES_MAX`] count.
    pub routes: Vec<StaticRoute>,
}

/// A network behind a gateway of its own, who is a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// An address in the network.
    pub network: IpAddr,
    /// Leading bits that its addresses share.
    pub prefix: u8,
    /// Who carries what is for there: of the same family.
    pub gateway: IpAddr,
}

impl StaticRoute {
    /// As smoltcp has it; `None` for what is impossible, which [`NetSettings::check`] refuses.
    pub(super) fn cidr(&self) -> Option<IpCidr> {
        let longest = if self.network.is_ipv4() { 32 } else { 128 };
        let possible = self.prefix <= longest && self.network.is_ipv4() == self.gateway.is_ipv4();
        possible.then(|| IpCidr::new(self.network.into(), self.prefix))
    }
}

/// Static routes of one card: with the gateways, what smoltcp is built for.
pub const ROUTES_MAX: usize = 8;

/// How IPv4 gets its address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipv4Settings {
    /// From a DHCP server (RFC 2131), renewed, and given up when the lease ends.
    #[default]
    Dhcp,
    /// As set.
    Static {
        /// This node.
        address: Ipv4Addr,
        /// Leading bits that it shares with its neighbours.
        prefix: u8,
        /// Who carries what is not for neighbours.
        gateway: Option<Ipv4Addr>,
    },
    /// No IPv4.
    None,
}

/// How IPv6 gets its addresses. Unless it is off there is always a link-local one, made from the card's
/// address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ipv6Settings {
    /// From the prefixes that routers announce (SLAAC, RFC 4862).
    #[default]
    Auto,
    /// As set.
    Static {
        /// This node.
        address: Ipv6Addr,
        /// Leading bits that it shares with its neighbours.
        prefix: u8,
        /// Who carries what is not for neighbours.
        gateway: Option<Ipv6Addr>,
    },
    /// No IPv6.
    None,
}

/// Smallest MTU that IPv6 allows (RFC 8200, section 5); asked of IPv4 as well, for simplicity.
pub(super) const MTU_MIN: u16 = 1280;
/// Largest MTU that smoltcp is made for.
pub(super) const MTU_MAX: u16 = 9216;

impl NetSettings {
    /// Refuses what no network can have, so that nothing deeper must.
    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if let Ipv4Settings::Static { address, prefix, gateway } = self.ipv4 {
            let host = |address: Ipv4Addr| {
                let bad = address.is_unspecified() || address.is_broadcast() || address.is_multicast();
                if bad { Err(SettingsError::NotAHost(IpAddr::V4(address))) } else { Ok(()) }
            };
            host(address)?;
            gateway.map_or(Ok(()), host)?;
            if prefix > 32 {
                return Err(SettingsError::Prefix(prefix));
            }
        }
        if let Ipv6Settings::Static { address, prefix, gateway } = self.ipv6 {
            let host = |address: Ipv6Addr| {
                let bad = address.is_unspecified() || address.is_multicast() || address.is_loopback();
                if bad { Err(SettingsError::NotAHost(IpAddr::V6(address))) } else { Ok(()) }
            };
            host(address)?;
            gateway.map_or(Ok(()), host)?;
            if prefix > 128 {
                return Err(SettingsError::Prefix(prefix));
            }
        }
        for route in &self.routes {
            if route.cidr().is_none() || !smoltcp::wire::IpAddress::from(route.gateway).is_unicast() {
                return Err(SettingsError::Route { network: route.network, gateway: route.gateway });
            }
        }
        if self.routes.len() > ROUTES_MAX {
            return Err(SettingsError::Routes(self.routes.len()));
        }
        match self.mtu {
            Some(mtu) if !(MTU_MIN..=MTU_MAX).contains(&mtu) => Err(SettingsError::Mtu(mtu)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_refused_by_name() {
        let check = |ipv4, mtu| NetSettings { ipv4, mtu, ..NetSettings::default() }.check();
        let fixed = |address: [u8; 4], prefix| Ipv4Settings::Static {
            address: address.into(),
            prefix,
            gateway: None,
        };
        assert_eq!(check(fixed([10, 0, 0, 1], 24), None), Ok(()));
        assert_eq!(check(fixed([10, 0, 0, 1], 33), None), Err(SettingsError::Prefix(33)));
        let group = IpAddr::V4([224, 0, 0, 1].into());
        assert_eq!(check(fixed([224, 0, 0, 1], 24), None), Err(SettingsError::NotAHost(group)));
        assert_eq!(check(Ipv4Settings::Dhcp, Some(576)), Err(SettingsError::Mtu(576)));
        assert_eq!(check(Ipv4Settings::Dhcp, Some(9000)), Ok(()));
        let route = |network: &str, prefix, gateway: &str| {
            let route =
                StaticRoute { network: network.parse().unwrap(), prefix, gateway: gateway.parse().unwrap() };
            NetSettings { routes: alloc::vec![route], ..NetSettings::default() }.check().is_ok()
        };
        assert!(route("10.1.0.0", 16, "10.0.0.1") && route("fd01::", 48, "fe80::2"));
        assert!(!route("10.1.0.0", 33, "10.0.0.1") && !route("10.1.0.0", 16, "fe80::2"));
        assert!(!route("10.1.0.0", 16, "224.0.0.1") && !route("10.1.0.0", 16, "0.0.0.0"));
    }
}
