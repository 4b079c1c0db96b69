//! `/metrics`: the node in Prometheus' text format, version 0.0.4. Names begin with `granary_`; labels have few values.

use super::response::Status;
use super::view::{
    HttpView, MachineStatus, NamesView, PeerView, ProcessorUse, Stage, StoreView, VentiView, View, occupied,
};
use crate::disks::DiskHealth;
use crate::tcp::NetTotals;
use crate::venti::connections::{Counters, Operation};
use crate::venti::latency::{BOUNDS_MICROS, Latencies};
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display, Write};

/// The page.
pub(super) fn page(view: &View) -> String {
    let mut page = Page(String::with_capacity(8 << 10));
    // Writing to a String cannot fail.
    let _ = page.node(view);
    if let Some(store) = &view.store {
        let _ = page.store(store);
    }
    if let Some(venti) = &view.venti {
        let _ = page.venti(venti);
    }
    if let Some(names) = &view.names {
        let _ = page.names(names);
    }
    if !view.peers.is_empty() {
        let _ = page.peers(&view.peers);
    }
    if !view.logins.is_empty() {
        let _ = page.logins(&view.logins);
    }
    let _ = page.http(&view.http);
    let _ = page.machine(&view.machine);
    page.0
}

/// What an operation is called in labels, and in the table of the status page.
pub(super) const OPERATIONS: [(Operation, &str); 3] =
    [(Operation::Read, "read"), (Operation::Write, "write"), (Operation::Sync, "sync")];

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> fmt::Result {
        writeln!(self.0, "# HELP granary_{name} {help}\n# TYPE granary_{name} {kind}")
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.family(name, "gauge", help)?;
        writeln!(self.0, "granary_{name} {value}")
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, "counter", help)?;
        writeln!(self.0, "granary_{name} {value}")
    }

    fn labelled<V: Display>(&mut self, name: &str, label: &str, values: &[(&str, V)]) -> fmt::Result {
        values
            .iter()
            .try_for_each(|(of, value)| writeln!(self.0, "granary_{name}{{{label}=\"{of}\"}} {value}"))
    }

    fn node(&mut self, view: &View) -> fmt::Result {
        self.family("build_info", "gauge", "The version, as a label; always 1.")?;
        self.labelled("build_info", "version", &[(view.version, 1)])?;
        self.gauge("uptime_seconds", "Seconds since the start.", view.uptime.as_secs())?;
        let ready = u8::from(view.stage == Stage::Serving);
        self.gauge("ready", "Whether blocks are served.", ready)
    }

    fn store(&mut self, store: &StoreView) -> fmt::Result {
        let StoreView { status, totals, .. } = store;
        self.gauge("store_space_bytes", "Bytes of all arenas, for logs and directories.", totals.space)?;
        self.gauge("store_used_bytes", "Bytes of arenas in use.", occupied(totals))?;
        self.gauge("store_data_bytes", "Bytes of all blocks before compression.", totals.uncompressed_size)?;
        self.gauge("store_blocks", "Blocks stored.", totals.clumps)?;
        self.gauge("store_compressed_blocks", "Blocks stored compressed.", totals.compressed_clumps)?;
        self.gauge("store_indexed_blocks", "Blocks that the index on disk has.", totals.indexed_clumps)?;
        self.family("store_arenas", "gauge", "Arenas by state; a summed one is sealed, too.")?;
        let open = totals.active.saturating_sub(totals.sealed);
        let empty = totals.arenas.saturating_sub(totals.active);
        let states = [("empty", empty), ("open", open), ("sealed", totals.sealed), ("summed", totals.summed)];
        self.labelled("store_arenas", "state", &states)?;
        self.counter("store_reads_total", "Reads, of blocks that are not here, too.", status.reads)?;
        self.counter("store_misses_total", "Reads of blocks that are not here.", status.misses)?;
        self.counter("store_writes_total", "Writes, of blocks that were here, too.", status.writes)?;
        self.counter("store_duplicates_total", "Writes of blocks that were here.", status.duplicates)?;
        self.counter("store_repairs_total", "Blocks stored anew as their copy was damaged.", status.repairs)?;
        self.counter("store_commits_total", "Commits that made something durable.", status.commits)?;
        self.counter("store_failed_commits_total", "Commits that failed.", status.failed_commits)?;
        self.counter("store_damage_total", "Damaged places seen since the start.", status.damage_count)?;
        self.gauge(
            "store_damaged_blocks",
            "Blocks without a copy known to be whole.",
            status.damaged_blocks,
        )?;
        self.counter("store_scrubbed_bytes_total", "Bytes that the scrubber has read.", status.scrub_bytes)?;
        self.gauge("store_dirty_bytes", "Bytes that are not durable yet.", status.dirty_bytes)?;
        self.gauge("cache_bytes", "Bytes of recent blocks in memory.", status.cache_bytes)?;
        self.counter("cache_hits_total", "Lookups that the cache answered.", status.cache_hits)?;
        self.counter("cache_misses_total", "Lookups that the cache did not answer.", status.cache_misses)?;
        self.gauge("read_ahead_bytes", "Bytes in memory that were read ahead.", status.read_ahead_bytes)?;
        self.gauge("index_memory_bytes", "Bytes of the index in memory.", status.index_bytes)
    }

    fn venti(&mut self, venti: &VentiView) -> fmt::Result {
        let Counters { reads, writes, syncs, errors, .. } = venti.counters;
        self.family("venti_requests_total", "counter", "Requests answered by the store.")?;
        let requests = [("read", reads), ("write", writes), ("sync", syncs)];
        self.labelled("venti_requests_total", "op", &requests)?;
        self.counter("venti_errors_total", "Requests answered by an error.", errors)?;
        self.connections("venti", venti.open, &venti.counters)?;
        self.family("venti_request_seconds", "histogram", "Time that the store took for a request.")?;
        for (operation, name) in OPERATIONS {
            self.histogram("venti_request_seconds", name, &venti.latencies[operation as usize])?;
        }
        Ok(())
    }

    fn connections(&mut self, service: &str, open: usize, counters: &Counters) -> fmt::Result {
        let name = |what| format!("{service}_{what}");
        self.gauge(&name("connections"), "Connections open now.", open)?;
        self.counter(&name("accepted_total"), "Connections let in.", counters.accepted)?;
        self.counter(&name("refused_total"), "Connections turned away.", counters.refused)?;
        self.counter(&name("evicted_total"), "Idle connections closed for others.", counters.evicted)?;
        self.counter(&name("received_bytes_total"), "Bytes received.", counters.bytes_in)?;
        self.counter(&name("sent_bytes_total"), "Bytes sent.", counters.bytes_out)
    }

    fn histogram(&mut self, name: &str, operation: &str, held: &Latencies) -> fmt::Result {
        let mut count = 0;
        for (bucket, bound) in held.buckets.iter().zip(BOUNDS_MICROS) {
            count += bucket;
            let seconds = Seconds(bound);
            writeln!(self.0, "granary_{name}_bucket{{op=\"{operation}\",le=\"{seconds}\"}} {count}")?;
        }
        let (count, sum) = (held.count(), Seconds(held.micros));
        writeln!(self.0, "granary_{name}_bucket{{op=\"{operation}\",le=\"+Inf\"}} {count}")?;
        writeln!(self.0, "granary_{name}_sum{{op=\"{operation}\"}} {sum}")?;
        writeln!(self.0, "granary_{name}_count{{op=\"{operation}\"}} {count}")
    }

    fn names(&mut self, names: &NamesView) -> fmt::Result {
        self.family("names", "gauge", "Names by stage; those in conflict are published, too.")?;
        let NamesView { published, waiting, removed, conflicts, .. } = *names;
        let stages =
            [("published", published), ("waiting", waiting), ("removed", removed), ("conflict", conflicts)];
        self.labelled("names", "stage", &stages)?;
        let walked = names.walk.as_ref().map_or(0, |walk| walk.blocks);
        self.gauge("names_walk_blocks", "Blocks that the walk under way has read.", walked)
    }

    fn logins(&mut self, logins: &[(&'static str, u64)]) -> fmt::Result {
        self.family("logins_total", "counter", "Attempts to prove an identity, by what came of them.")?;
        self.labelled("logins_total", "outcome", logins)
    }

    fn peers(&mut self, peers: &[PeerView]) -> fmt::Result {
        type Figure = fn(&PeerView) -> u64;
        let figures: [(&str, &str, &str, Figure); 9] = [
            ("lag_bytes", "gauge", "Bytes of log that it has not confirmed.", |peer| peer.progress.lag_bytes),
            ("lag_seconds", "gauge", "For how long it has lacked something.", |peer| peer.lag.as_secs()),
            ("sent_blocks_total", "counter", "Blocks sent and confirmed.", |peer| peer.progress.sent_blocks),
            ("sent_bytes_total", "counter", "Bytes of those blocks.", |peer| peer.progress.sent_bytes),
            ("known_blocks_total", "counter", "Blocks that it had.", |peer| peer.progress.known_blocks),
            ("healed_blocks_total", "counter", "Damaged blocks fetched from it.", |peer| {
                peer.progress.healed_blocks
            }),
            ("names_received_total", "counter", "Names that came from it.", |peer| {
                peer.progress.names_received
            }),
            ("failures_total", "counter", "Failures to replicate to it.", |peer| peer.progress.failure_count),
            ("holes", "gauge", "Blocks that it lacks because they cannot be read here.", |peer| {
                peer.holes as u64
            }),
        ];
        for (name, kind, help, figure) in figures {
            let name = format!("peer_{name}");
            self.family(&name, kind, help)?;
            let values: alloc::vec::Vec<_> =
                peers.iter().map(|peer| (peer.name.as_str(), figure(peer))).collect();
            self.labelled(&name, "peer", &values)?;
        }
        self.family("peer_way", "gauge", "How connections to it are protected.")?;
        peers.iter().try_for_each(|peer| {
            writeln!(self.0, "granary_peer_way{{peer=\"{}\",way=\"{}\"}} 1", peer.name, peer.way)
        })
    }

    fn http(&mut self, http: &HttpView) -> fmt::Result {
        self.connections("http", http.open, &http.counters)?;
        self.family("http_answers_total", "counter", "Answers by status.")?;
        let code = |status: Status| status.line().split(' ').next().unwrap_or_default();
        let answers = http.answers.iter().map(|(status, count)| (code(*status), *count));
        self.labelled("http_answers_total", "code", &answers.collect::<alloc::vec::Vec<_>>())
    }

    fn machine(&mut self, machine: &MachineStatus) -> fmt::Result {
        if let Some(memory) = machine.memory {
            self.gauge("memory_bytes", "Memory there is.", memory.total)?;
            self.gauge("memory_free_bytes", "Memory that nobody uses.", memory.free)?;
            self.counter("memory_failures_total", "Allocations that failed.", memory.failures)?;
        }
        if !machine.processors.is_empty() {
            self.processors(&machine.processors)?;
        }
        if !machine.disks.is_empty() {
            self.disks(&machine.disks)?;
        }
        if !machine.networks.is_empty() {
            let NetTotals { frames, tcp } = NetTotals::of(&machine.networks);
            self.counter("network_received_bytes_total", "Bytes of frames received.", frames.bytes_in)?;
            self.counter("network_sent_bytes_total", "Bytes of frames sent.", frames.bytes_out)?;
            self.gauge("tcp_connections", "TCP connections in use.", tcp.open)?;
            self.gauge("tcp_half_open", "TCP connections not yet confirmed.", tcp.half_open)?;
            self.gauge("tcp_buffer_bytes", "Bytes of all TCP buffers.", tcp.buffer_bytes)?;
            self.counter("tcp_refused_total", "Times that no connection was left.", tcp.refused)?;
        }
        Ok(())
    }
}

impl Page {
    fn processors(&mut self, processors: &[ProcessorUse]) -> fmt::Result {
        let each = || processors.iter().enumerate();
        self.family("processor_busy_seconds_total", "counter", "Time that each processor worked.")?;
        for (number, ProcessorUse { busy_micros, .. }) in each() {
            let busy = Seconds(*busy_micros);
            writeln!(self.0, "granary_processor_busy_seconds_total{{processor=\"{number}\"}} {busy}")?;
        }
        self.family("processor_jobs_total", "counter", "Pieces of work that each processor did.")?;
        for (number, ProcessorUse { jobs, .. }) in each() {
            writeln!(self.0, "granary_processor_jobs_total{{processor=\"{number}\"}} {jobs}")?;
        }
        Ok(())
    }
}

/// A figure of a disk: name, kind, help, value.
type DiskFigure = (&'static str, &'static str, &'static str, fn(&DiskHealth) -> Option<i128>);

/// What is told of disks, where they tell it.
const DISK_FIGURES: [DiskFigure; 7] = [
    ("disk_temperature_celsius", "gauge", "The disk's temperature.", |disk| disk.celsius.map(i128::from)),
    ("disk_used_percent", "gauge", "How much of the expected life is over.", |disk| {
        disk.used_percent.map(i128::from)
    }),
    ("disk_spare_percent", "gauge", "Spare sectors that are left.", |disk| {
        disk.spare_percent.map(i128::from)
    }),
    ("disk_media_errors_total", "counter", "Times that data were lost on the medium.", |disk| {
        disk.media_errors.map(i128::from)
    }),
    ("disk_reallocated_sectors", "gauge", "Sectors replaced by spare ones.", |disk| {
        disk.reallocated.map(i128::from)
    }),
    ("disk_pending_sectors", "gauge", "Sectors that cannot be read.", |disk| disk.pending.map(i128::from)),
    ("disk_bad", "gauge", "Whether the disk says that something is wrong with it.", |disk| {
        Some(disk.is_bad().into())
    }),
];

impl Page {
    fn disks(&mut self, disks: &[DiskHealth]) -> fmt::Result {
        for (name, kind, help, figure) in DISK_FIGURES {
            let told = || disks.iter().filter_map(|disk| Some((disk, figure(disk)?)));
            if told().next().is_none() {
                continue;
            }
            self.family(name, kind, help)?;
            for (disk, value) in told() {
                writeln!(self.0, "granary_{name}{{disk=\"{}\"}} {value}", disk.name)?;
            }
        }
        Ok(())
    }
}

/// Microseconds as seconds, without a rounding error: `0.00025`.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:06}", self.0 % 1_000_000);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / 1_000_000),
            fraction => write!(f, "{}.{fraction}", self.0 / 1_000_000),
        }
    }
}
