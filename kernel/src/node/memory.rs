//! How the machine's memory is shared out, so that the worst that peers can ask for still fits.
//!
//! Knows the sizes of everything that grows with what peers do or with what a disk holds. Must not know how any of it is
//! used. An allocation that fails ends the machine, so the sum is what keeps a flooded node up.

use net::tcp::TcpLimits;
use net::venti::MAX_LUMP;
use net::venti::frame::MAX_FRAME;
use net::venti::serve::Limits;
use storage::settings::Settings;
use storage::store::StoreSettings;

/// Below, caches are smaller: what peers can ask for does not shrink with the machine.
const SMALL: usize = 256 << 20;
/// A connection's task and queues.
const TASK_LEN: usize = 16 << 10;
/// Most bytes of packed replies that an idle connection keeps for the next ones.
const PACKED_LEN_MAX: usize = 80 << 10;
/// Least and most of [`Limits::bytes`].
const REQUEST_BYTES: (usize, usize) = (16 << 10, 4 << 20);

/// More than this is no use to any way to a peer.
const PEER_WINDOW_MAX: usize = 16 << 20;

/// Who may use how much.
pub(super) struct Shares {
    /// Sockets and their buffers.
    pub(super) tcp: TcpLimits,
    /// Connections that are served at once.
    pub(super) connections: usize,
    /// What one of them may hold.
    pub(super) limits: Limits,
    /// The store's caches.
    pub(super) store: StoreSettings,
    /// Blocks on their way to all peers together.
    pub(super) peer_window: usize,
}

/// Shares out `memory` bytes.
pub(super) fn share_out(memory: usize, settings: &Settings) -> Shares {
    let tcp = TcpLimits::for_memory(memory as u64);
    let asked = settings.connections as usize;
    let most = if memory < SMALL { memory / 8 * 3 } else { memory / 5 };
    let bearable = most / connection_max(REQUEST_BYTES.0);
    let connections = asked.min(tcp.served_max()).min(bearable).max(1);
    let fits = |bytes: &usize| connections * connection_max(*bytes) <= memory / 5;
    let sizes = core::iter::successors(Some(REQUEST_BYTES.1), |bytes| Some(bytes / 2));
    let bytes = sizes.take_while(|bytes| *bytes > REQUEST_BYTES.0).find(fits).unwrap_or(REQUEST_BYTES.0);
    let limits = Limits { bytes, read_buffer: read_buffer(bytes), ..Limits::default() };
    let peer_window = (memory / 64).min(PEER_WINDOW_MAX);
    Shares { tcp, connections, limits, store: store_settings(memory, settings), peer_window }
}

/// Most that a connection can hold besides its sockets' buffers: replies, one request more than it may, one that is
/// coming in, and what it is made of.
fn connection_max(bytes: usize) -> usize {
    bytes + bytes.min(PACKED_LEN_MAX) + MAX_LUMP + MAX_FRAME + read_buffer(bytes) + TASK_LEN
}

fn read_buffer(bytes: usize) -> usize {
    (bytes / 8).clamp(8 << 10, 64 << 10)
}

/// Gives the store a share of what memory there is, unless the settings say how much.
fn store_settings(memory: usize, settings: &Settings) -> StoreSettings {
    let bytes = |set: Option<u64>, otherwise: usize| {
        set.map_or(otherwise, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX).min(memory / 2))
    };
    let (cache, dirty) = if memory < SMALL { (memory / 8, memory / 16) } else { (memory / 4, memory / 8) };
    let dirty_bytes_max = bytes(settings.dirty, dirty.min(256 << 20));
    StoreSettings {
        lump_cache_bytes: bytes(settings.cache, cache),
        read_ahead_bytes: (memory / 16).min(64 << 20),
        dirty_bytes_max,
        group_bytes: (dirty_bytes_max / 8).min(4 << 20),
        index_bytes_max: bytes(settings.index, memory / 8),
        index_flush_bytes: (memory / 16).min(64 << 20),
        compress: settings.compress,
        read_only: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the machine itself is left with.
    fn left(memory: usize, connections: u32) -> usize {
        let settings = Settings { connections, ..Settings::default() };
        let Shares { tcp, connections, limits, store, peer_window } = share_out(memory, &settings);
        let connections = connections * connection_max(limits.bytes);
        let caches =
            store.lump_cache_bytes + store.read_ahead_bytes + store.dirty_bytes_max + store.index_flush_bytes;
        memory - tcp.buffers_total - connections - caches - peer_window
    }

    #[test]
    fn the_worst_that_peers_and_disks_can_do_fits() {
        for mebibytes in [60, 61, 100, 124, 200, 255, 256, 380, 500, 1000, 4000, 100_000] {
            for connections in [1, 16, 256, 4096] {
                let memory = mebibytes << 20;
                assert!(
                    left(memory, connections) >= memory / 32,
                    "{mebibytes} MiB, {connections} connections"
                );
            }
        }
    }

    #[test]
    fn a_machine_of_64_mib_serves_128_connections_and_a_larger_one_what_is_asked_for() {
        let shares = |mebibytes: usize| share_out(mebibytes << 20, &Settings::default());
        assert_eq!(shares(60).connections, 128);
        assert_eq!((shares(1000).connections, shares(1000).limits.bytes), (256, 512 << 10));
        let many = Settings { connections: 4096, ..Settings::default() };
        assert_eq!(share_out(4000 << 20, &many).connections, 512);
    }
}
