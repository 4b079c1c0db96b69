//! The log, sent to the collector that the settings name.
//!
//! Knows when to send. Must not know the form of a message.

use super::live::Live;
use crate::console;
use crate::executor::timers::sleep_until;
use crate::time;
use alloc::rc::Rc;
use core::net::SocketAddr;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::select;
use net::syslog::Sender;
use net::tcp::{Networks, UdpSocket};

/// How long a line waits for others.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends for good.
pub(super) async fn run(stack: Networks, live: Rc<Live>) {
    let mut sender = Sender::new(&live.get().sysname);
    let mut socket: Option<(SocketAddr, UdpSocket)> = None;
    loop {
        let changed = live.changed();
        let Some(collector) = live.get().syslog else {
            changed.await;
            continue;
        };
        let collector = collector.0;
        if socket.as_ref().is_none_or(|(to, _)| *to != collector) {
            socket = stack.udp(collector).ok().map(|socket| (collector, socket));
        }
        // Before there is an address, lines stay where they are.
        let mut failed = false;
        if let Some((_, socket)) = socket.as_ref().filter(|_| stack.can_send_to(collector)) {
            for message in console::with_journal(|journal| sender.messages(journal)) {
                if let Err(error) = socket.send_to(message.as_bytes(), collector).await {
                    log::debug!("syslog: {error}");
                    failed = true;
                }
            }
        }
        if failed {
            // Another card may lead there now.
            socket = None;
        }
        select(pin!(changed), pin!(sleep_until(time::now().plus(PAUSE)))).await;
    }
}
