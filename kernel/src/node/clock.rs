//! The calendar's time, from the time servers that the settings name.
//!
//! Knows when to ask whom. Must not know the protocol.

use super::live::Live;
use crate::executor::timers::sleep_until;
use crate::time;
use alloc::rc::Rc;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use net::sntp::{self, INTERVAL, PATIENCE, RETRY};
use net::tcp::Networks;

/// A smaller error is set right without a word.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

/// Asks for good.
pub(super) async fn run(stack: Networks, live: Rc<Live>) {
    let mut retry = RETRY.0;
    loop {
        let changed = live.changed();
        let servers = live.get().ntp.clone();
        if servers.is_empty() {
            changed.await;
            continue;
        }
        // Before there is an address, nobody can be asked.
        if !servers.iter().any(|server| stack.can_send_to(server.0)) {
            select(pin!(changed), pin!(stack.addresses_changed())).await;
            continue;
        }
        let mut set = false;
        for server in &servers {
            set = ask(&stack, server.0).await;
            if set {
                break;
            }
        }
        let pause = if set { INTERVAL } else { retry };
        retry = if set { RETRY.0 } else { (retry * 2).min(RETRY.1) };
        select(pin!(changed), pin!(sleep_until(time::now().plus(pause)))).await;
    }
}

async fn ask(stack: &Networks, server: SocketAddr) -> bool {
    let Ok(socket) = stack.udp(server) else { return false };
    let deadline = sleep_until(time::now().plus(PATIENCE));
    let right = match select(pin!(sntp::ask(&socket, server, time::wall_micros)), pin!(deadline)).await {
        Either::Left((Ok(right), _)) => right,
        Either::Left((Err(error), _)) => {
            log::warn!("time server {server}: {error}");
            return false;
        }
        Either::Right(_) => {
            log::warn!("time server {server}: no answer");
            return false;
        }
    };
    let was = time::wall_micros();
    time::set_wall(right);
    if Duration::from_micros(right.abs_diff(was)) >= WORTH_A_WORD {
        let (off, way) = (right.abs_diff(was) / 1_000_000, if was < right { "behind" } else { "ahead" });
        log::info!("the clock was {off} s {way}; set by time server {server}");
    }
    true
}
