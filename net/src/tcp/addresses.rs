//! The interface's addresses and routes: as set, by DHCP, by routers. Knows no connection.

use super::dhcp::{self, Grant, GrantedRoute};
use super::far_gateway::FarGateway;
use super::nic::Traffic;
use super::router::RouterDiscovery;
use super::settings::{Ipv4Settings, Ipv6Settings, NetSettings};
use super::stack::to_smoltcp;
use super::status::{Ipv4Status, Ipv6Address, Ipv6Origin};
use crate::clock::Instant;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::Vec;
use smoltcp::iface::{Interface, Route, SocketHandle, SocketSet};
use smoltcp::phy::{Device, TxToken};
use smoltcp::socket::dhcpv4;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

/// How soon a question that no DHCP server answered is asked again.
const DISCOVER_INTERVAL: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(3);

/// Name servers of a lease that are asked.
pub(super) const NAME_SERVERS_MAX: usize = 3;

/// What a DHCP server gave.
#[derive(Clone)]
struct Lease {
    address: Ipv4Cidr,
    gateway: Option<Ipv4Addr>,
    server: Ipv4Addr,
    name_servers: Vec<Ipv4Addr, NAME_SERVERS_MAX>,
    /// The largest packet on its network, if it said so. Of the answer that brought the lease, as are the routes; a renewal
    /// that changes these alone changes nothing.
    mtu: Option<u16>,
    /// Networks behind other gateways.
    routes: Vec<GrantedRoute, { dhcp::ROUTES_MAX }>,
}

impl Lease {
    fn new(config: &dhcpv4::Config<'_>, grant: Grant) -> Lease {
        let (gateway, mut routes) = match grant.routes {
            Some(routes) => {
                let default = routes.iter().find(|route| route.network.prefix_len() == 0);
                (default.map(|route| route.gateway), routes)
            }
            None => (config.router, Vec::new()),
        };
        // Neighbours without a gateway need no route, or, if they are many, are not to be had.
        routes.retain(|route| route.network.prefix_len() > 0 && is_host(route.gateway));
        Lease {
            address: config.address,
            gateway: gateway.filter(|gateway| is_host(*gateway)),
            server: config.server.address,
            name_servers: config.dns_servers.iter().copied().filter(|server| is_host(*server)).collect(),
            mtu: grant.mtu,
            routes,
        }
    }
}

/// Keeps the interface's addresses as the settings want them.
pub(super) struct Addresses {
    settings: NetSettings,
    link_local: Option<Ipv6Cidr>,
    dhcp: Option<SocketHandle>,
    lease: Option<Lease>,
    /// When `lease` last came or went.
    lease_changed: Instant,
    routers: Option<RouterDiscovery>,
}

impl Addresses {
    /// Sets the interface up; `settings` were checked.
    pub(super) fn new(
        settings: NetSettings,
        hardware: EthernetAddress,
        iface: &mut Interface,
        sockets: &mut SocketSet<'static>,
        traffic: &Traffic,
        now: Instant,
    ) -> Addresses {
        let link = Ipv6Cidr::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64);
        let link_local = Ipv6Cidr::from_link_prefix(&link, HardwareAddress::Ethernet(hardware));
        let dhcp = (settings.ipv4 == Ipv4Settings::Dhcp).then(|| {
            let mut socket = dhcpv4::Socket::new();
            let mut retry = socket.get_retry_config();
            retry.discover_timeout = DISCOVER_INTERVAL;
            socket.set_retry_config(retry);
            socket.set_parameter_request_list(dhcp::ASKED_FOR);
            sockets.add(socket)
        });
        let addresses = Addresses {
            link_local: link_local.filter(|_| settings.ipv6 != Ipv6Settings::None),
            dhcp,
            lease: None,
            lease_changed: now,
            routers: (settings.ipv6 == Ipv6Settings::Auto).then(|| RouterDiscovery::new(hardware, now)),
            settings,
        };
        addresses.apply(iface, traffic);
        addresses
    }

    /// Takes in what DHCP and routers said. Whether an address changed.
    pub(super) fn update(
        &mut self,
        traffic: &Traffic,
        iface: &mut Interface,
        sockets: &mut SocketSet<'static>,
        now: Instant,
    ) -> bool {
        let heard = traffic.take_advert();
        let routers_changed = self.routers.as_mut().is_some_and(|routers| {
            let heard = heard.is_some_and(|advert| routers.hear(advert, now));
            routers.expire(now) || heard
        });
        let lease_changed = self.update_lease(traffic.take_grant(), sockets, now);
        if routers_changed || lease_changed {
            self.apply(iface, traffic);
        }
        routers_changed || lease_changed
    }

    /// `grant`: what the frame said that was just taken in.
    fn update_lease(&mut self, grant: Option<Grant>, sockets: &mut SocketSet<'static>, now: Instant) -> bool {
        let Some(dhcp) = self.dhcp else { return false };
        let socket = sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp);
        let lease = match socket.poll() {
            None => return false,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(config)) => Some(Lease::new(&config, grant.unwrap_or_default())),
        };
        if lease.is_none() && self.lease.is_none() {
            return false;
        }
        self.lease = lease;
        self.lease_changed = now;
        true
    }

    /// Asks routers to announce themselves, if it is time to.
    pub(super) fn solicit(&mut self, device: &mut impl Device, now: Instant) {
        let (Some(routers), Some(link_local)) = (&mut self.routers, self.link_local) else { return };
        if !routers.solicit_due(now) {
            return;
        }
        if let Some(token) = device.transmit(to_smoltcp(now)) {
            token.consume(routers.solicit_len(), |frame| routers.write_solicit(link_local.address(), frame));
            routers.solicited(now);
        }
    }

    /// When [`Self::update`] or [`Self::solicit`] has something to do, apart from DHCP, which smoltcp times.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.routers.as_ref().and_then(RouterDiscovery::deadline)
    }

    fn ipv4_cidr(&self) -> Option<(Ipv4Cidr, Option<Ipv4Addr>)> {
        match self.settings.ipv4 {
            Ipv4Settings::Static { address, prefix, gateway } => {
                Some((Ipv4Cidr::new(address, prefix), gateway))
            }
            Ipv4Settings::Dhcp => self.lease.as_ref().map(|lease| (lease.address, lease.gateway)),
            Ipv4Settings::None => None,
        }
    }

    /// Gives the interface what holds: after [`Self::update`] it has it.
    pub(super) fn apply(&self, iface: &mut Interface, traffic: &Traffic) {
        let far = self.far_gateway();
        traffic.set_far_gateway(far);
        let ipv4 = self.ipv4_cidr().map(|(own, _)| far.map_or(own, |far| far.network(own)));
        let ipv6 = self.ipv6();
        iface.update_ip_addrs(|list| {
            let ipv6 = ipv6.iter().map(|own| IpCidr::Ipv6(Ipv6Cidr::new(own.address, own.prefix)));
            let ipv4 = ipv4.iter().map(|own| IpCidr::Ipv4(*own));
            list.clear();
            list.extend(ipv4.chain(ipv6).take(list.capacity()));
        });
        iface.routes_mut().update(|list| {
            let replaced = |route: Route| match (route.via_router, far) {
                (IpAddress::Ipv4(gateway), Some(far)) if gateway == far.address => {
                    Route { via_router: IpAddress::Ipv4(far.stand_in), ..route }
                }
                _ => route,
            };
            list.clear();
            list.extend(self.routes().map(replaced).take(list.capacity()));
        });
    }

    /// The gateway outside of our own network, if there is one.
    fn far_gateway(&self) -> Option<FarGateway> {
        let (own, _) = self.ipv4_cidr()?;
        let mut far = self.routes().filter_map(|route| match route.via_router {
            IpAddress::Ipv4(gateway) if !own.contains_addr(&gateway) => Some(gateway),
            _ => None,
        });
        let first = far.next()?;
        for other in far.filter(|other| *other != first) {
            log::warn!("gateways {first} and {other} lie outside of {own}; only the former is reached");
        }
        FarGateway::new(first, own)
    }

    /// The gateways, and the routes that were set or came with the lease.
    fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        let gateway = self.ipv4_cidr().and_then(|(_, gateway)| gateway).map(Route::new_ipv4_gateway);
        let ipv6_gateway = self.ipv6_gateway().map(Route::new_ipv6_gateway);
        let lasting = |cidr, via_router| Route { cidr, via_router, preferred_until: None, expires_at: None };
        let fixed = self.settings.routes.iter();
        let fixed = fixed.filter_map(move |route| Some(lasting(route.cidr()?, route.gateway.into())));
        let leased = self.lease.iter().flat_map(|lease| &lease.routes);
        let leased = leased.map(move |route| lasting(route.network.into(), route.gateway.into()));
        gateway.into_iter().chain(ipv6_gateway).chain(fixed).chain(leased)
    }

    /// How well this card leads to `address`: the prefix of the most specific network or route that it has for it.
    pub(super) fn fit(&self, address: IpAddr) -> Option<u8> {
        let address = address.to_canonical();
        let is_ipv4 = address.is_ipv4();
        let can_send = if is_ipv4 { self.ipv4_cidr().is_some() } else { self.link_local.is_some() };
        if !can_send {
            return None;
        }
        let own_ipv4 = self.ipv4_cidr().map(|(own, _)| IpCidr::Ipv4(own));
        let own_ipv6 =
            self.ipv6().into_iter().map(|own| IpCidr::Ipv6(Ipv6Cidr::new(own.address, own.prefix)));
        let own = own_ipv4.into_iter().chain(own_ipv6);
        let all = own.chain(self.routes().map(|route| route.cidr));
        all.filter(|cidr| cidr.contains_addr(&address.into())).map(|cidr| cidr.prefix_len()).max()
    }

    /// For [`NetStatus`](super::NetStatus).
    pub(super) fn ipv4(&self, now: Instant) -> Ipv4Status {
        let elapsed = now.since(self.lease_changed);
        match (self.settings.ipv4, &self.lease) {
            (Ipv4Settings::None, _) => Ipv4Status::Off,
            (Ipv4Settings::Static { address, prefix, gateway }, _) => {
                Ipv4Status::Static { address, prefix, gateway }
            }
            (Ipv4Settings::Dhcp, None) => Ipv4Status::Searching { elapsed },
            (Ipv4Settings::Dhcp, Some(lease)) => {
                let Lease { gateway, server, .. } = *lease;
                let (address, prefix) = (lease.address.address(), lease.address.prefix_len());
                Ipv4Status::Leased { address, prefix, gateway, server, elapsed }
            }
        }
    }

    /// Those that the DHCP server named.
    pub(super) fn name_servers(&self) -> Vec<Ipv4Addr, NAME_SERVERS_MAX> {
        self.lease.as_ref().map(|lease| lease.name_servers.clone()).unwrap_or_default()
    }

    /// The largest packet that settings, lease and routers allow, as far as they say. One for both families: what the cable
    /// does not carry it carries for neither.
    pub(super) fn mtu(&self) -> Option<u16> {
        let lease = self.lease.as_ref().and_then(|lease| lease.mtu);
        let routers = self.routers.as_ref().and_then(RouterDiscovery::mtu);
        [self.settings.mtu, lease, routers].into_iter().flatten().min()
    }

    /// For [`NetStatus`](super::NetStatus): the link-local address first.
    pub(super) fn ipv6(&self) -> Vec<Ipv6Address, 8> {
        let own = |cidr: Ipv6Cidr, origin| Ipv6Address {
            address: cidr.address(),
            prefix: cidr.prefix_len(),
            origin,
        };
        let fixed = match self.settings.ipv6 {
            Ipv6Settings::Static { address, prefix, .. } => Some(Ipv6Cidr::new(address, prefix)),
            Ipv6Settings::Auto | Ipv6Settings::None => None,
        };
        let announced = self.routers.iter().flat_map(RouterDiscovery::addresses);
        let all = self.link_local.into_iter().map(|cidr| own(cidr, Ipv6Origin::LinkLocal));
        let all = all.chain(fixed.into_iter().map(|cidr| own(cidr, Ipv6Origin::Static)));
        all.chain(announced.map(|cidr| own(cidr, Ipv6Origin::Router))).take(8).collect()
    }

    /// For [`NetStatus`](super::NetStatus).
    pub(super) fn ipv6_gateway(&self) -> Option<Ipv6Addr> {
        match self.settings.ipv6 {
            Ipv6Settings::Static { gateway, .. } => gateway,
            Ipv6Settings::Auto => self.routers.as_ref().and_then(RouterDiscovery::router),
            Ipv6Settings::None => None,
        }
    }
}

/// Whether packets can be sent to `address` as to one host.
fn is_host(address: Ipv4Addr) -> bool {
    let address = IpAddr::V4(address);
    smoltcp::wire::IpAddress::from(address).is_unicast()
}
