//! Settings from the network, where firmware says that they are there: asked for once there is an address, written to
//! granary.ini, and obeyed by starting again.
//!
//! Knows when to ask, and how long to wait. Must not know HTTP, nor what clouds there are.

use super::cloud::{self, Applied};
use super::{Part, network};
use crate::executor::timers::sleep_until;
use crate::start::Machine;
use crate::time::{self, KernelClock};
use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, SocketAddr};
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use net::metadata::{self, Answer, Fetch, FetchError, Place, Request, exchange};
use net::tcp::Networks;
use storage::cloud::Given;
use storage::settings::{Ip4, Settings};

/// For the address, all questions and all answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether there are other settings than those that the node has begun with: it must start again.
///
/// Nothing is sent where firmware says nothing of such a place, where settings came from a nearer one (`given`), or where the
/// node has had settings from outside before.
pub(super) async fn are_new(
    machine: &Machine,
    given: Option<&Given>,
    stack: Option<&Networks>,
    settings: &Settings,
    nine_fat: Option<&Part>,
) -> bool {
    let (None, Some(system), Some(stack), Some(part)) = (given, &machine.system, stack, nine_fat) else {
        return false;
    };
    let place = match metadata::place(system) {
        Ok(Some(place)) => place,
        Ok(None) => return false,
        Err(error) => {
            log::warn!("settings from SMBIOS: {error}");
            return false;
        }
    };
    match cloud::last_mark(part).await {
        Ok(mark) if mark.as_ref().is_some_and(|mark| place.is_settled(mark)) => return false,
        Ok(_) => {}
        Err(error) => {
            log::warn!("settings from {place} are not asked for: 9fat: {error}");
            return false;
        }
    }
    let Some(given) = ask(&place, stack, settings).await else { return false };
    let applied = cloud::apply(&given, Some(part)).await;
    if applied == Applied::Written {
        log::info!("starting again with them");
    }
    applied == Applied::Written
}

/// Asks, as long as there is patience.
async fn ask(place: &Place, stack: &Networks, settings: &Settings) -> Option<Given> {
    if settings.networks.first().is_some_and(|network| network.ip == Ip4::None) {
        log::warn!("settings from {place} are not asked for: this node has no IPv4 address (ip=none)");
        return None;
    }
    log::info!("settings from {place}: asking, for {} s at most", PATIENCE.as_secs());
    let mut server = Server { stack, place, dns: &settings.dns };
    let asking = async {
        network::wait_for_ipv4(stack).await;
        metadata::ask(place, &mut server).await
    };
    match select(pin!(asking), pin!(sleep_until(time::now().plus(PATIENCE)))).await {
        Either::Left((Ok(Some(given)), _)) => return Some(given),
        Either::Left((Ok(None), _)) => log::info!("settings from {place}: it has none for this node"),
        Either::Left((Err(error), _)) => log::warn!("settings from {place}: {error}"),
        Either::Right(_) => {
            log::warn!("settings from {place}: nothing came of it in {} s", PATIENCE.as_secs());
        }
    }
    None
}

/// The server, asked over a connection for each question.
struct Server<'a> {
    stack: &'a Networks,
    place: &'a Place,
    dns: &'a [IpAddr],
}

impl Server<'_> {
    async fn address(&self) -> Result<SocketAddr, String> {
        let (host, port) = self.place.server();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address, port));
        }
        let found =
            self.stack.look_up(&KernelClock, &host, self.dns).await.map_err(|error| error.to_string())?;
        let first = found.first().ok_or_else(|| format!("no address of {host}"))?;
        Ok(SocketAddr::new(*first, port))
    }
}

impl Fetch for Server<'_> {
    async fn fetch(&mut self, request: Request) -> Result<Answer, FetchError> {
        let address = self.address().await.map_err(FetchError::Unreachable)?;
        let connected = self.stack.connect(address).await;
        let stream = connected.map_err(|error| FetchError::Unreachable(error.to_string()))?;
        let (mut reader, mut writer) = stream.split();
        exchange(&mut reader, &mut writer, &request.encode(&self.place.authority())).await
    }
}
