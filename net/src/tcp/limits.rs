//! How much TCP may use. Knows sizes and times, no socket.

use core::time::Duration;

/// The smallest buffer of a connection, in one direction.
const BUFFER_MIN: usize = 16 << 10;
/// The largest; more brings nothing on the networks a node is made for.
const BUFFER_MAX: usize = 1 << 20;

/// Bounds on connections, their memory and their patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpLimits {
    /// Connections at once: half-open, established and lingering ones together. Beyond it a SYN takes the
    /// place of the oldest half-open or else lingering connection; if there is none, it is answered by RST.
    pub max_connections: usize,
    /// Bytes of all buffers together.
    pub buffers_total: usize,
    /// Bytes of one connection's buffer in one direction when there are many connections.
    pub buffer_min: usize,
    /// The same when there are few.
    pub buffer_max: usize,
    /// A SYN whose answer is not acknowledged by then is forgotten.
    pub half_open_timeout: Duration,
    /// A connection of our own that is not answered by then has failed.
    pub connect_timeout: Duration,
    /// A connection that was silent for so long is probed, and again after each such time.
    pub keep_alive: Duration,
    /// A peer from which nothing was heard for so long, in spite of probes, is gone.
    pub dead_peer_timeout: Duration,
    /// A connection that we dropped has so long to say goodbye, and again whenever its peer has taken some of
    /// the data it still holds; but not more than 20 times as long in all.
    pub linger: Duration,
    /// A connection that we dropped, and whose peer has taken everything, is kept for so long more: for the peer's own
    /// goodbye, and then again for packets that are still on their way. Short, as its buffers are kept with it, and whoever
    /// opens and leaves connections by the thousand would else hold all of them.
    pub last_wait: Duration,
}

impl TcpLimits {
    /// Ports that can be listened to at once. Each keeps one socket ready beside those that `max_connections`
    /// counts.
    pub const MAX_PORTS: usize = 8;

    /// Limits that fit a machine with `memory` bytes.
    ///
    /// An eighth of the memory is for buffers. Half of that eighth holds 16 KiB in each direction for every
    /// connection, so there are as many connections as that allows, but at least 192 (from 50 MiB of memory
    /// on) and at most 768: 128 and 512 that are served, and half as many that come and go. The other half goes
    /// to whoever comes first: a new connection gets up to an eighth of what is left, at most a 64th of all in
    /// each direction (256 KiB from 128 MiB of memory on), at most 1 MiB. So few connections are fast also on a
    /// small machine, and many still fit.
    pub fn for_memory(memory: u64) -> TcpLimits {
        let buffers_total = usize::try_from(memory / 8).unwrap_or(usize::MAX);
        let pairs = |bytes: usize| (bytes / (2 * BUFFER_MIN)).saturating_sub(Self::MAX_PORTS);
        let max_connections = pairs(buffers_total / 2).clamp(192, 768).min(pairs(buffers_total)).max(1);
        TcpLimits {
            max_connections,
            buffers_total,
            buffer_min: BUFFER_MIN,
            buffer_max: power_of_two_below(buffers_total / 64).clamp(BUFFER_MIN, BUFFER_MAX),
            half_open_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(20),
            dead_peer_timeout: Duration::from_secs(75),
            linger: Duration::from_secs(30),
            last_wait: Duration::from_secs(2),
        }
    }

    /// The limits of each of so many cards that share these. Which of them will be busy nobody knows, so each gets the same.
    pub fn for_each_of(self, cards: usize) -> TcpLimits {
        let cards = cards.max(1);
        let buffers_total = self.buffers_total / cards;
        let max_connections = (self.max_connections / cards).max(1);
        TcpLimits { max_connections, buffers_total, ..self }
    }

    /// How many connections can be served at a time so that there is still room for those that come and go.
    pub fn served_max(&self) -> usize {
        (self.max_connections / 3 * 2).max(1)
    }

    /// Bytes for each direction of a new socket when `used` bytes are given to `sockets` sockets already.
    pub(super) fn next_buffer(&self, used: usize, sockets: usize) -> usize {
        let to_come = (self.max_connections + Self::MAX_PORTS).saturating_sub(sockets);
        let reserved = to_come.saturating_mul(2 * self.buffer_min);
        let spare = self.buffers_total.saturating_sub(used).saturating_sub(reserved);
        power_of_two_below(spare / 16).clamp(self.buffer_min, self.buffer_max.max(self.buffer_min))
    }
}

fn power_of_two_below(size: usize) -> usize {
    size.checked_ilog2().map_or(0, |log| 1 << log)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_64_mib_serves_128_connections_within_an_eighth_of_it() {
        let limits = TcpLimits::for_memory(64 << 20);
        assert_eq!((limits.max_connections, limits.served_max()), (192, 128));
        assert_eq!(limits.next_buffer(0, 0), 64 << 10, "the first one is fast");
        let mut used = 0;
        for sockets in 0..limits.max_connections + TcpLimits::MAX_PORTS {
            used += 2 * limits.next_buffer(used, sockets);
        }
        assert!(used <= 8 << 20, "{used} bytes for all");
    }

    #[test]
    fn cards_together_use_no_more_than_one() {
        for (mib, cards) in [(64_u64, 2), (64, 4), (1024, 3)] {
            let all = TcpLimits::for_memory(mib << 20);
            let limits = all.for_each_of(cards);
            let mut used = 0;
            for sockets in 0..limits.max_connections + TcpLimits::MAX_PORTS {
                used += 2 * limits.next_buffer(used, sockets);
            }
            // The ports' own sockets come once a card.
            let ports = 2 * TcpLimits::MAX_PORTS * limits.buffer_min;
            assert!(
                cards * used <= all.buffers_total + cards * ports,
                "{mib} MiB, {cards} cards: {used} bytes each"
            );
        }
        assert_eq!(TcpLimits::for_memory(0).for_each_of(4).max_connections, 1);
    }

    #[test]
    fn more_memory_means_more_connections_and_larger_buffers_up_to_a_point() {
        let limits = |mib: u64| TcpLimits::for_memory(mib << 20);
        assert_eq!(limits(128).next_buffer(0, 0), 256 << 10);
        assert_eq!(limits(1024).next_buffer(0, 0), 1 << 20);
        assert_eq!((limits(1024).max_connections, limits(1 << 20).max_connections), (768, 768));
        assert!(limits(8).max_connections >= 20 && limits(0).max_connections == 1);
        assert_eq!(limits(0).served_max(), 1);
    }
}
