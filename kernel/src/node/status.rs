//! One line a minute on the console: that the node lives, and how it fares.
//!
//! Knows what is worth a line. Must not know how the figures come about.

use super::Part;
use super::live::Live;
use super::serve::Service;
use crate::executor::timers::sleep_until;
use crate::memory::heap;
use crate::processors::{self, ProcessorStatus};
use crate::time;
use alloc::rc::Rc;
use core::fmt;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use net::tcp::Networks;
use storage::store::Store;

/// Prints for good, every so many seconds.
pub(super) async fn print<B>(
    store: Option<Rc<Store<Part>>>,
    stack: Option<Networks>,
    service: Option<Rc<Service<B>>>,
    live: Rc<Live>,
) {
    loop {
        let changed = live.changed();
        let every = Duration::from_secs(live.get().status.into());
        let pause = sleep_until(time::now().plus(every));
        if let Either::Right(_) = select(pin!(pause), pin!(changed)).await {
            continue;
        }
        let memory = heap::status();
        let heap = memory.small_used + memory.large_used;
        let connections = service.as_ref().map_or(0, |service| service.connections.open());
        let tcp = stack.as_ref().map(|stack| stack.totals(time::now()).tcp).unwrap_or_default();
        let buffers = tcp.buffer_bytes;
        match &store {
            Some(store) => {
                let status = store.status();
                let held = status.cache_bytes + status.read_ahead_bytes + status.dirty_bytes;
                let used: u64 = status.arenas.iter().map(|arena| arena.current.used).sum();
                let size: u64 = status.arenas.iter().map(|arena| arena.size).sum();
                let blocks: u64 = status.arenas.iter().map(|arena| u64::from(arena.current.clumps)).sum();
                log::info!(
                    "status: up={}s connections={connections} blocks={} used={} of={} reads={} writes={} damage={} \
                     lost={} scrubbed={} heap={} caches={held} sockets={} buffers={buffers} free={} busy={}",
                    time::now().micros / 1_000_000,
                    blocks,
                    used,
                    size,
                    status.reads,
                    status.writes,
                    status.damage_count,
                    status.damaged_blocks,
                    status.scrub_bytes,
                    heap.saturating_sub(held).saturating_sub(buffers),
                    tcp.open + tcp.half_open + tcp.lingering + tcp.listening,
                    memory.free,
                    Busy(&processors::all()),
                );
            }
            None => log::info!("status: no store, heap={heap} free={}", memory.free),
        }
    }
}

/// Seconds that each processor worked, the first one first.
struct Busy<'a>(&'a [ProcessorStatus]);

impl fmt::Display for Busy<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, processor) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(
                out,
                "{comma}{}.{}s",
                processor.busy_micros / 1_000_000,
                processor.busy_micros / 100_000 % 10
            )?;
        }
        Ok(())
    }
}
