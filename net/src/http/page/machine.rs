//! What the node itself uses: connections, processors, memory, network.

use crate::disks::DiskHealth;
use crate::http::escape::{Bytes, Commas, Escaped};
use crate::http::view::{MachineStatus, StoreView, View};
use crate::tcp::NetTotals;
use crate::venti::connections::Counters;
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

/// The sections.
pub(super) fn section(page: &mut String, view: &View) -> fmt::Result {
    writeln!(
        page,
        "<section><h2>Connections</h2><div class=\"scroll\"><table>\n<tr><th>service</th><th class=\"n\">open</th>\
         <th class=\"n\">so far</th><th class=\"n\">refused</th><th class=\"n\">evicted</th></tr>"
    )?;
    if let Some(venti) = &view.venti {
        connections(page, "venti", venti.open, &venti.counters)?;
    }
    connections(page, "HTTP", view.http.open, &view.http.counters)?;
    writeln!(page, "</table></div></section>")?;
    processors(page, view)?;
    disks(page, &view.machine.disks)?;
    logins(page, &view.logins)?;
    memory(page, view.store.as_ref(), &view.machine)?;
    network(page, &view.machine)
}

fn connections(page: &mut String, service: &str, open: usize, counters: &Counters) -> fmt::Result {
    writeln!(
        page,
        "<tr><td>{service}</td><td class=\"n\">{open}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td></tr>",
        Commas(counters.accepted),
        Commas(counters.refused),
        Commas(counters.evicted),
    )
}

fn processors(page: &mut String, view: &View) -> fmt::Result {
    if view.machine.processors.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<section><h2>Processors</h2><div class=\"scroll\"><table>\n<tr><th>number</th><th class=\"n\">worked</th>\
         <th class=\"n\">of the time</th><th class=\"n\">jobs</th></tr>"
    )?;
    let up = view.uptime.as_micros().max(1);
    for (number, processor) in view.machine.processors.iter().enumerate() {
        let share = (u128::from(processor.busy_micros) * 100 / up).min(100);
        writeln!(
            page,
            "<tr><td>{number}</td><td class=\"n\">{} s</td><td class=\"n\">{share} %</td><td class=\"n\">{}</td></tr>",
            Commas(processor.busy_micros / 1_000_000),
            Commas(processor.jobs),
        )?;
    }
    writeln!(page, "</table></div></section>")
}

/// How the disks are; nothing where none tells.
fn disks(page: &mut String, disks: &[DiskHealth]) -> fmt::Result {
    if disks.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Disks</h2><div class=\"scroll\"><table>")?;
    for disk in disks {
        let mark = if disk.is_bad() { " class=\"bad\"" } else { "" };
        writeln!(page, "<tr><td>{}</td><td{mark}>{disk}</td></tr>", Escaped(&disk.name))?;
    }
    writeln!(page, "</table></div></section>")
}

/// What came of those who wanted to prove who they are; nothing where nobody did.
fn logins(page: &mut String, logins: &[(&'static str, u64)]) -> fmt::Result {
    if logins.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Logins</h2><table>")?;
    for (outcome, count) in logins {
        let outcome = outcome.replace('_', " ");
        writeln!(page, "<tr><td>{outcome}</td><td class=\"n\">{}</td></tr>", Commas(*count))?;
    }
    writeln!(page, "</table></section>")
}

fn memory(page: &mut String, store: Option<&StoreView>, machine: &MachineStatus) -> fmt::Result {
    if store.is_none() && machine.memory.is_none() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Memory</h2><table>")?;
    let mut row = |what: &str, bytes: u64| {
        writeln!(page, "<tr><td>{what}</td><td class=\"n\">{}</td></tr>", Bytes(bytes))
    };
    if let Some(memory) = machine.memory {
        row("all", memory.total)?;
        row("free", memory.free)?;
    }
    if let Some(StoreView { status, .. }) = store {
        row("index", status.index_bytes)?;
        row("recent blocks", status.cache_bytes as u64)?;
        row("read ahead", status.read_ahead_bytes as u64)?;
    }
    writeln!(page, "</table></section>")
}

fn network(page: &mut String, machine: &MachineStatus) -> fmt::Result {
    if machine.networks.is_empty() {
        return Ok(());
    }
    writeln!(page, "<section><h2>Network</h2>")?;
    for network in &machine.networks {
        writeln!(page, "<p>{}</p>", Escaped(&format!("{}", network.ipv4)))?;
        for address in &network.ipv6 {
            writeln!(page, "<p>{}</p>", Escaped(&format!("{address}")))?;
        }
    }
    let NetTotals { frames, tcp } = NetTotals::of(&machine.networks);
    writeln!(
        page,
        "<p>{} received, {} sent</p>\n<p class=\"note\">TCP connections: {}, half open: {}, buffers: {}</p></section>",
        Bytes(frames.bytes_in),
        Bytes(frames.bytes_out),
        tcp.open,
        tcp.half_open,
        Bytes(tcp.buffer_bytes as u64),
    )
}
