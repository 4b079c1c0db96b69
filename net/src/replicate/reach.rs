//! A TCP connection to whom an address names: its host's addresses, one after another, each for a bounded time.
//!
//! Must not know what is said there.

use super::{Peer, Road};
use crate::clock::{Clock, within};
use crate::dial::Dial;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

/// Time for a name to be looked up, and for each address to answer.
const LOOKUP_TIME: Duration = Duration::from_secs(10);
const ADDRESS_TIME: Duration = Duration::from_secs(8);
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Connects to the first address that answers.
pub(super) async fn reach<R: Road>(
    road: &R,
    clock: &impl Clock,
    peer: &Peer,
    to: &Dial,
    port: u16,
) -> Result<(R::Reader, R::Writer), String> {
    let addresses = look_up(road, clock, peer, &to.host).await?;
    let mut failures: Vec<String> = Vec::new();
    for address in &addresses {
        let deadline = clock.now().plus(ADDRESS_TIME);
        let socket = SocketAddr::new(*address, to.port_or(port));
        match within(clock, deadline, road.connect(socket)).await.unwrap_or_else(silent) {
            Ok(halves) => return Ok(halves),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    match failures.is_empty() {
        true => Err(format!("looking up {}: it has no address", to.host)),
        false => Err(format!("connecting to {to}: {}", failures.join("; "))),
    }
}

/// The addresses of a host of the peer, in a bounded time; the peer's are noted with it.
pub(super) async fn look_up<R: Road>(
    road: &R,
    clock: &impl Clock,
    peer: &Peer,
    host: &str,
) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let deadline = clock.now().plus(LOOKUP_TIME);
    let found = within(clock, deadline, road.addresses(host)).await.unwrap_or_else(silent);
    let mut addresses = found.map_err(|error| format!("looking up {host}: {error}"))?;
    addresses.truncate(ADDRESSES_MAX);
    peer.is_at(host, &addresses);
    Ok(addresses)
}

fn silent<T>() -> Result<T, String> {
    Err("no answer in time".to_string())
}
