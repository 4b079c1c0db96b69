//! The log, sent to the collector that the settings name.
//!
//! Knows when to send. Must not know the form of a message.

use super::live::Live;
use crate::console;
use crate::executor::timers::sleep_until;
use crate::time;
use alloc::rc::Rc;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::select;
use net::syslog::Sender;
use net::tcp::{Stack, UdpSocket};

/// How long a line waits for others.
const PAUSE: Duration = Duration::from_millis(500);

/// Sends for good.
pub(super) async fn run(stack: Stack, live: Rc<Live>) {
    let mut sender = Sender::new(&live.get().sysname);
    let mut socket: Option<UdpSocket> = None;
    loop {
        let changed = live.changed();
        let Some(collector) = live.get().syslog else {
            changed.await;
            continue;
        };
        let collector = collector.0;
        if socket.is_none() {
            socket = stack.udp(collector).ok();
        }
        // Before there is an address, lines stay where they are.
        if let Some(socket) = socket.as_ref().filter(|_| stack.can_send_to(collector)) {
            for message in console::with_journal(|journal| sender.messages(journal)) {
                if let Err(error) = socket.send_to(message.as_bytes(), collector).await {
                    log::debug!("syslog: {error}");
                }
            }
        }
        select(pin!(changed), pin!(sleep_until(time::now().plus(PAUSE)))).await;
    }
}
