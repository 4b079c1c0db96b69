//! The values that settings have, as people write them.
//!
//! Knows text and ranges; must not know which key a value belongs to.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::FromStr;
use zeroize::Zeroizing;

/// Why a text is not a value of its kind. The text says what would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct Expected(pub &'static str);

/// A range of addresses: `ADDRESS/PREFIX`, or an address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many leading bits the addresses in it share: at most 32 or 128.
    pub prefix: u8,
}

impl Network {
    /// Whether `address` lies in it. An IPv4 address in IPv6 clothes counts as the IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = own.to_bits() ^ other.to_bits();
                differs.leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Network, Expected> {
        const FORM: Expected = Expected("a network such as 192.168.1.0/24 or fd00::/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| FORM)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse().map_err(|_| FORM))?;
        if prefix > longest { Err(FORM) } else { Ok(Network { address, prefix }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// How the node gets its IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip4 {
    /// From the network's DHCP server, with gateway.
    Dhcp,
    /// This one.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Bits of its network.
        prefix: u8,
    },
    /// Not at all.
    None,
}

impl FromStr for Ip4 {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Ip4, Expected> {
        const FORM: Expected = Expected("dhcp, none, or an address with its prefix such as 192.168.1.7/24");
        match text {
            "dhcp" => Ok(Ip4::Dhcp),
            "none" => Ok(Ip4::None),
            _ => match with_prefix(text).ok_or(FORM)? {
                Network { address: IpAddr::V4(address), prefix } => Ok(Ip4::Static { address, prefix }),
                Network { .. } => Err(FORM),
            },
        }
    }
}

/// How the node gets its IPv6 address, beside the link-local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ip6 {
    /// From the network's routers (SLAAC), with gateway.
    Auto,
    /// This one.
    Static {
        /// The address.
        address: Ipv6Addr,
        /// Bits of its network.
        prefix: u8,
    },
    /// No IPv6 at all.
    None,
}

impl FromStr for Ip6 {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Ip6, Expected> {
        const FORM: Expected = Expected("auto, none, or an address with its prefix such as fd00::7/64");
        match text {
            "auto" => Ok(Ip6::Auto),
            "none" => Ok(Ip6::None),
            _ => match with_prefix(text).ok_or(FORM)? {
                Network { address: IpAddr::V6(address), prefix } => Ok(Ip6::Static { address, prefix }),
                Network { .. } => Err(FORM),
            },
        }
    }
}

/// An address of a host together with its network; both must be said.
fn with_prefix(text: &str) -> Option<Network> {
    let network: Network = text.contains('/').then(|| text.parse().ok())??;
    let usable = !network.address.is_unspecified() && !network.address.is_multicast();
    usable.then_some(network)
}

/// A size of packets that every network protocol here can live with: IPv6's least to the largest that cards have.
pub(super) fn parse_mtu(text: &str) -> Result<u16, Expected> {
    const FORM: Expected = Expected("a number of bytes from 1280 to 9216");
    let bytes = text.parse().map_err(|_| FORM)?;
    if (1280..=9216).contains(&bytes) { Ok(bytes) } else { Err(FORM) }
}

/// A server: its address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(pub SocketAddr);

/// `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
pub(super) fn parse_server(text: &str, port: u16) -> Result<Server, Expected> {
    const FORM: Expected = Expected("an address such as 192.168.1.5, 192.168.1.5:5140 or [fd00::5]:5140");
    let address = text.parse().map(|address| SocketAddr::new(address, port));
    let address = address.or_else(|_| text.parse::<SocketAddr>()).map_err(|_| FORM)?;
    let usable = !address.ip().is_unspecified() && !address.ip().is_multicast() && address.port() != 0;
    if usable { Ok(Server(address)) } else { Err(FORM) }
}

/// An account of Plan 9's authentication, with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct GivenAccount {
    /// The user.
    pub user: String,
    /// Its domain.
    pub domain: String,
    /// Its password.
    pub password: Zeroizing<String>,
}

impl GivenAccount {
    /// The name of the setting.
    pub const KEY: &'static str = "account";
}

impl FromStr for GivenAccount {
    type Err = Expected;

    fn from_str(text: &str) -> Result<GivenAccount, Expected> {
        const FORM: Expected = Expected(
            "a user of at most 27 bytes, a domain of at most 47 and a password, with a blank between them",
        );
        let (user, rest) = text.split_once(' ').ok_or(FORM)?;
        let (domain, password) = rest.trim_start().split_once(' ').ok_or(FORM)?;
        let password = password.trim_start();
        if user.len() > 27 || domain.len() > 47 || password.is_empty() {
            return Err(FORM);
        }
        let password = Zeroizing::new(password.to_string());
        Ok(GivenAccount { user: user.to_string(), domain: domain.to_string(), password })
    }
}

/// Without the password.
impl fmt::Debug for GivenAccount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "GivenAccount({:?} in {:?})", self.user, self.domain)
    }
}

/// At most three addresses of name servers.
pub(super) fn parse_name_servers(text: &str) -> Result<Vec<IpAddr>, Expected> {
    const FORM: Expected = Expected("one to three addresses such as 192.168.1.1,fd00::1");
    let servers: Result<Vec<IpAddr>, _> = text.split(',').map(|server| server.trim().parse()).collect();
    let servers = servers.map_err(|_| FORM)?;
    let usable = servers.iter().all(|server| !server.is_unspecified() && !server.is_multicast());
    if usable && servers.len() <= 3 { Ok(servers) } else { Err(FORM) }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a node adds to its store by itself, at the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grow {
    /// Nothing.
    No,
    /// What a disk that was laid out here has grown by.
    #[default]
    Own,
    /// That, and empty arenas on its disks that are not in the index.
    Arenas,
    /// Those, and blank disks, which become arenas.
    Disks,
}

impl FromStr for Grow {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Grow, Expected> {
        match text {
            "no" => Ok(Grow::No),
            "own" => Ok(Grow::Own),
            "yes" => Ok(Grow::Arenas),
            "disks" => Ok(Grow::Disks),
            _ => Err(Expected("no, own, yes or disks")),
        }
    }
}

/// What follows a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPanic {
    /// The machine stands still, for someone to read the console.
    Halt,
    /// The machine starts again.
    Reboot,
}

impl FromStr for OnPanic {
    type Err = Expected;

    fn from_str(text: &str) -> Result<OnPanic, Expected> {
        match text {
            "halt" => Ok(OnPanic::Halt),
            "reboot" => Ok(OnPanic::Reboot),
            _ => Err(Expected("halt or reboot")),
        }
    }
}

/// How often a store is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scrub {
    /// Never.
    Off,
    /// All of it once in so many days.
    Days(u16),
    /// With so many bytes a second, once a day at most.
    Rate(u64),
}

/// Most days between two times.
const SCRUB_DAYS_MAX: u16 = 3650;
/// Least rate that makes sense.
const SCRUB_RATE_MIN: u64 = 64 << 10;

impl Scrub {
    /// Seconds from one time to the next.
    pub fn period(self) -> Option<u32> {
        match self {
            Scrub::Off => None,
            Scrub::Days(days) => Some(u32::from(days.clamp(1, SCRUB_DAYS_MAX)) * 86_400),
            Scrub::Rate(_) => Some(86_400),
        }
    }
}

impl Default for Scrub {
    fn default() -> Scrub {
        Scrub::Days(30)
    }
}

impl FromStr for Scrub {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Scrub, Expected> {
        const FORM: Expected =
            Expected("off, days such as 30d (1 to 3650), or bytes a second such as 4m/s (at least 64k/s)");
        if text == "off" {
            return Ok(Scrub::Off);
        }
        if let Some(rate) = text.strip_suffix("/s") {
            let rate = parse_size(rate).ok().filter(|rate| *rate >= SCRUB_RATE_MIN);
            return rate.map(Scrub::Rate).ok_or(FORM);
        }
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        let days = days.filter(|days| (1..=SCRUB_DAYS_MAX).contains(days));
        days.map(Scrub::Days).ok_or(FORM)
    }
}

/// A number of bytes, with a suffix `k`, `m`, `g` or `t` (times 1024 each) if so wished.
///
/// # Errors
/// If the text is something else, or the number does not fit in 64 bits.
pub fn parse_size(text: &str) -> Result<u64, Expected> {
    const FORM: Expected = Expected("a number of bytes such as 512m or 8g");
    let suffix = text.bytes().next_back().map(|last| last.to_ascii_lowercase());
    let shift = match suffix {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { text.get(..text.len() - 1).unwrap_or_default() };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(FORM);
    }
    let number: u64 = digits.parse().map_err(|_| FORM)?;
    number.checked_mul(1 << shift).ok_or(FORM)
}

pub(super) fn parse_yes_no(text: &str) -> Result<bool, Expected> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(Expected("yes or no")),
    }
}

/// A host as Plan 9 dials it; what its parts mean is for whoever dials.
pub(super) fn parse_host(text: &str) -> Result<String, Expected> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._:!/[]".contains(c);
    let good = !text.is_empty() && text.len() <= 255 && text.chars().all(legal);
    if good { Ok(text.into()) } else { Err(Expected("a host such as 192.168.1.5 or tcp!auth.lan!567")) }
}

pub(super) fn parse_partition(text: &str) -> Result<String, Expected> {
    let good = (1..=127).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if good { Ok(text.into()) } else { Err(Expected("a partition such as nvram or disk1/nvram")) }
}

pub(super) fn parse_sysname(text: &str) -> Result<String, Expected> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    let good = !text.is_empty() && text.len() <= 63 && text.chars().all(legal);
    if good { Ok(text.into()) } else { Err(Expected("1 to 63 letters, digits, dots, dashes or underscores")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        let contains = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse::<IpAddr>().unwrap())
        };
        for (network, inside) in [
            ("10.0.0.0/8", "10.255.0.1"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "1.2.3.4"),
            ("fd00::/8", "fd12::1"),
            ("::/0", "2001:db8::1"),
            ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
        }
        for (network, outside) in [
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.4"),
            ("fd00::/8", "fe00::"),
            ("::/0", "1.2.3.4"),
        ] {
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn refuses_networks_and_addresses_that_are_none() {
        for bad in ["", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "fd00::/129", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        for bad in ["", "10.0.2.15", "0.0.0.0/0", "224.0.0.1/4", "fd00::1/64", "DHCP"] {
            assert!(bad.parse::<Ip4>().is_err(), "{bad}");
        }
        for bad in ["", "fd00::1", "::/0", "ff02::1/16", "10.0.2.15/24", "dhcp"] {
            assert!(bad.parse::<Ip6>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_server_has_an_address_and_its_kinds_port_unless_it_says_another() {
        for (text, address) in [
            ("192.168.1.5", "192.168.1.5:514"),
            ("192.168.1.5:99", "192.168.1.5:99"),
            ("fd00::5", "[fd00::5]:514"),
            ("[fd00::5]:99", "[fd00::5]:99"),
        ] {
            assert_eq!(parse_server(text, 514), Ok(Server(address.parse().unwrap())), "{text}");
        }
        for bad in ["", "host", "0.0.0.0", "1.2.3.4:0", "224.0.0.1", "1.2.3.4:", "::"] {
            assert!(parse_server(bad, 514).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_servers_are_up_to_three_addresses() {
        assert_eq!(parse_name_servers("10.0.0.1, fd00::1").map(|servers| servers.len()), Ok(2));
        for bad in ["", "ns.example", "0.0.0.0", "1.1.1.1,", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4", "1.1.1.1:53"]
        {
            assert!(parse_name_servers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_store_is_verified_by_days_or_by_rate_or_not() {
        for (text, scrub) in [
            ("off", Scrub::Off),
            ("30d", Scrub::Days(30)),
            ("4m/s", Scrub::Rate(4 << 20)),
            ("64k/s", Scrub::Rate(64 << 10)),
        ] {
            assert_eq!(text.parse(), Ok(scrub), "{text}");
        }
        for bad in ["", "on", "0d", "3651d", "d", "30", "-1d", "4m", "/s", "63k/s", "1.5d"] {
            assert!(bad.parse::<Scrub>().is_err(), "{bad}");
        }
        assert_eq!((Scrub::Off.period(), Scrub::Days(2).period()), (None, Some(172_800)));
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("4k", 4096), ("3M", 3 << 20), ("8g", 8 << 30), ("1t", 1 << 40)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "k", "-1", "1.5g", "99999999t", "1kb", "0x10", "18446744073709551616"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_network_reads_what_it_prints(bits in any::<u128>(), prefix in 0..=128_u8) {
            let network = Network { address: IpAddr::V6(Ipv6Addr::from_bits(bits)), prefix };
            prop_assert_eq!(network.to_string().parse(), Ok(network));
        }

        #[test]
        fn any_text_is_a_value_or_not(text in "\\PC{0,40}") {
            let _ = (text.parse::<Network>(), text.parse::<Ip4>(), text.parse::<Ip6>(), parse_size(&text), text.parse::<Scrub>());
        }
    }
}
