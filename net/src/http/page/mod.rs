//! `/`: the status page, for people, with graphics or in a text browser, on a desk or a telephone.
//!
//! | module | what |
//! |---|---|
//! | `traffic` | plots of the past hour, and how long requests took |
//! | `arenas` | the arenas, drawn and as a table |
//! | `names` | names, and what was found beneath them |
//! | `peers` | who is replicated to, and how far |
//! | `machine` | connections, memory, network |
//! | `plot` | lines as SVG |
//! | `style` | how it looks |
//!
//! One file that loads nothing else, runs nothing, and changes nothing. Must not name a score.

mod arenas;
mod machine;
mod names;
mod peers;
mod plot;
mod style;
#[cfg(test)]
mod tests;
mod traffic;

use super::escape::{Bytes, Commas, Escaped, Span};
use super::history::{Forecast, WEEK};
use super::view::{Stage, StoreView, View, occupied, without_scores};
use alloc::format;
use alloc::string::String;
use chrono::DateTime;
use core::fmt::{self, Display, Write};
use plot::Plot;
use storage::Timestamp;
use storage::format::clump::CLUMP_HEADER_LEN;

/// Seconds after which a browser looks again.
const REFRESH: u32 = 30;
/// The latest so many damaged places are listed.
const DAMAGE_SHOWN: usize = 20;

/// The page.
pub(super) fn page(view: &View) -> String {
    let mut page = String::with_capacity(24 << 10);
    // Writing to a String cannot fail.
    let _ = write_page(&mut page, view);
    page
}

fn write_page(page: &mut String, view: &View) -> fmt::Result {
    let name = Escaped(view.name);
    writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n\
         <title>{name}: {}</title>\n<style>{}</style>\n</head>\n<body>",
        view.stage.name(),
        style::STYLE,
    )?;
    let off = if view.stage == Stage::Serving { "" } else { " off" };
    writeln!(
        page,
        "<header><h1>{name}</h1><span class=\"state{off}\">{}</span>\n\
         <p>A venti storage node, Granary {}, up {}</p></header>\n<main>",
        view.stage.name(),
        view.version,
        Span(view.uptime.as_secs()),
    )?;
    if let Some(store) = &view.store {
        space(page, view, store)?;
        savings(page, store)?;
        health(page, store)?;
    }
    if let Some(venti) = &view.venti {
        traffic::sections(page, view, venti)?;
    }
    if let Some(store) = &view.store {
        arenas::section(page, store)?;
    }
    if let Some(names) = &view.names {
        names::section(page, names)?;
    }
    peers::section(page, &view.peers)?;
    machine::section(page, view)?;
    writeln!(
        page,
        "</main>\n<footer><p>{} UTC. Nothing can be changed here. For programs: <a href=\"/metrics\">/metrics</a> \
         <a href=\"/healthz\">/healthz</a> <a href=\"/readyz\">/readyz</a>; as venti has them: \
         <a href=\"/index\">/index</a> <a href=\"/xindex\">/xindex</a> <a href=\"/storage\">/storage</a></p></footer>\n\
         </body>\n</html>",
        Date(view.now),
    )
}

/// How much there is, how much of it is used, and how long that lasts.
fn space(page: &mut String, view: &View, store: &StoreView) -> fmt::Result {
    let (used, space) = (occupied(&store.totals), store.totals.space);
    let permille = used.saturating_mul(1000).checked_div(space).unwrap_or(0);
    writeln!(
        page,
        "<section><h2>Space</h2>\n<p class=\"big\">{} free</p>\n\
         <svg class=\"bar\" viewBox=\"0 0 1000 10\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"space in use\"><rect class=\"open\" width=\"{permille}\" height=\"10\"/></svg>\n\
         <p>{} of {} used ({}.{} %)</p>",
        Bytes(space.saturating_sub(used)),
        Bytes(used),
        Bytes(space),
        permille / 10,
        permille % 10,
    )?;
    match view.forecast() {
        Forecast::Unknown => writeln!(page, "<p class=\"note\">Days left: known after an hour.</p>")?,
        Forecast::Still { seconds } => {
            writeln!(page, "<p class=\"note\">Nothing was added in {}.</p>", Span(seconds))?;
        }
        Forecast::Full { seconds, over } => writeln!(
            page,
            "<p><b>{} days left</b> at the rate of the past {}</p>",
            Commas(seconds / 86_400),
            Span(over)
        )?,
    }
    let points = view.history.space();
    if points.len() > 2 {
        page.push_str("<figure>");
        let lines: [(&'static str, &[_]); 1] = [("a", &points)];
        let (now, span) = (crate::clock::Instant::default().plus(view.uptime), view.uptime.min(WEEK));
        let top = space as f64;
        Plot { label: "space in use over the past week", now, span, top, lines: &lines }.draw(page)?;
        writeln!(page, "<figcaption>In use over the past {}</figcaption></figure>", Span(span.as_secs()))?;
    }
    writeln!(page, "</section>")
}

/// What compression and duplicates save.
fn savings(page: &mut String, store: &StoreView) -> fmt::Result {
    let (totals, status) = (&store.totals, &store.status);
    let stored = totals.used.saturating_sub(totals.clumps * CLUMP_HEADER_LEN as u64);
    writeln!(
        page,
        "<section><h2>Blocks</h2>\n<p class=\"big\">{} stored</p>\n\
         <p>Compression <b>{}</b>: {} of blocks take {}</p>\n\
         <p>Duplicates <b>{}</b>: of {} written since the start, {} were here</p>\n\
         <p class=\"note\">{} read since the start, {} of them not here.</p></section>",
        Commas(totals.clumps),
        Ratio(totals.uncompressed_size, stored),
        Bytes(totals.uncompressed_size),
        Bytes(stored),
        Ratio(status.writes, status.writes.saturating_sub(status.duplicates)),
        Commas(status.writes),
        Commas(status.duplicates),
        Commas(status.reads),
        Commas(status.misses),
    )
}

/// Whether anything is wrong.
fn health(page: &mut String, store: &StoreView) -> fmt::Result {
    let (totals, status) = (&store.totals, &store.status);
    writeln!(page, "<section><h2>Health</h2>")?;
    match status.damage_count {
        0 => writeln!(page, "<p class=\"big\">No damage seen</p>")?,
        1 => writeln!(page, "<p class=\"big bad\">1 damaged place</p>")?,
        count => writeln!(page, "<p class=\"big bad\">{} damaged places</p>", Commas(count))?,
    }
    if status.failed_commits > 0 {
        let failed = Commas(status.failed_commits);
        writeln!(page, "<p class=\"bad\">{failed} commits failed: a disk does not take what is written</p>")?;
    }
    if status.repairs > 0 {
        writeln!(page, "<p>{} damaged blocks were stored anew</p>", Commas(status.repairs))?;
    }
    match status.dirty_bytes {
        0 => writeln!(page, "<p>Everything written is on disk</p>")?,
        bytes => writeln!(page, "<p>{} wait for the disk</p>", Bytes(bytes as u64))?,
    }
    match (&store.index, totals.clumps.saturating_sub(totals.indexed_clumps)) {
        (None, _) => writeln!(page, "<p class=\"note\">There is no index on disk; none is needed here.</p>")?,
        (Some(_), 0) => writeln!(page, "<p>The index on disk is complete</p>")?,
        (Some(_), behind) => {
            writeln!(page, "<p>The index on disk lacks the latest {} blocks</p>", Commas(behind))?;
        }
    }
    let in_use = || status.arenas.iter().filter(|arena| arena.current.clumps > 0);
    let verified = in_use().filter_map(|arena| arena.scrub).map(|record| record.ended);
    match verified.clone().min() {
        None => writeln!(page, "<p class=\"note\">The scrubber has not verified an arena yet</p>")?,
        Some(oldest) => writeln!(
            page,
            "<p>Verified: {} of {} arenas in use, the longest ago on {} UTC</p>",
            Commas(verified.count() as u64),
            Commas(in_use().count() as u64),
            Date(oldest),
        )?,
    }
    if !status.damage.is_empty() {
        writeln!(page, "<ul>")?;
        for damage in status.damage.iter().rev().take(DAMAGE_SHOWN) {
            writeln!(page, "<li>{}</li>", Escaped(&without_scores(&format!("{damage}"))))?;
        }
        writeln!(page, "</ul>")?;
    }
    writeln!(page, "</section>")
}

/// One number to another, as `2.5 : 1`.
struct Ratio(u64, u64);

impl Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ratio(0, _) | Ratio(_, 0) => f.write_str("–"),
            Ratio(of, to) => write!(f, "{:.1} : 1", *of as f64 / *to as f64),
        }
    }
}

/// A time of the calendar.
struct Date(Timestamp);

impl Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp(self.0.0.into(), 0) {
            Some(date) if self.0.0 > 0 => write!(f, "{}", date.format("%Y-%m-%d %H:%M")),
            _ => f.write_str("–"),
        }
    }
}
