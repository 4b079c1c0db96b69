//! The arenas: every one as a small square that fills, those in use as a table.

use super::{Date, Ratio};
use crate::http::escape::{Bytes, Commas, Escaped};
use crate::http::view::StoreView;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};
use storage::format::Name;
use storage::format::clump::CLUMP_HEADER_LEN;
use storage::format::directory::RECORD_LEN;
use storage::store::ArenaStatus;

/// The latest so many arenas stand in the table.
const ROWS: usize = 32;
/// More arenas than this are not drawn one by one.
const SQUARES_MAX: usize = 600;
/// Squares in a line.
const COLUMNS: usize = 40;
/// Units from square to square.
const PITCH: usize = 12;
/// Units of a square's side.
const SIDE: u64 = 10;

/// The section.
pub(super) fn section(page: &mut String, store: &StoreView) -> fmt::Result {
    let totals = &store.totals;
    let (arenas, status) = (&store.status.arenas, &store.status);
    writeln!(page, "<section class=\"wide\"><h2>Arenas</h2>")?;
    writeln!(
        page,
        "<p>{} arenas: {} in use, {} of them sealed, {} of these summed</p>",
        Commas(totals.arenas as u64),
        Commas(totals.active as u64),
        Commas(totals.sealed as u64),
        Commas(totals.summed as u64),
    )?;
    let damaged: BTreeSet<Name> = status.damage.iter().map(|damage| damage.arena).collect();
    if arenas.len() <= SQUARES_MAX {
        squares(page, arenas, &damaged)?;
    }
    let in_use = arenas.iter().filter(|arena| arena.current.clumps > 0);
    let hidden = totals.active.saturating_sub(ROWS);
    if totals.active > 0 {
        writeln!(
            page,
            "<div class=\"scroll\"><table>\n<tr><th>arena</th><th>state</th><th class=\"n\">used</th>\
             <th class=\"n\">blocks</th><th class=\"n\">data</th><th class=\"n\">compression</th>\
             <th>last write (UTC)</th><th>verified (UTC)</th><th>on</th></tr>"
        )?;
        in_use.skip(hidden).try_for_each(|arena| row(page, arena, damaged.contains(&arena.name)))?;
        writeln!(page, "</table></div>")?;
    }
    if hidden > 0 {
        writeln!(page, "<p class=\"note\">{hidden} earlier ones are in <a href=\"/index\">/index</a>.</p>")?;
    }
    writeln!(page, "</section>")
}

fn occupied(arena: &ArenaStatus) -> u64 {
    arena.current.used + u64::from(arena.current.clumps) * RECORD_LEN as u64
}

fn squares(page: &mut String, arenas: &[ArenaStatus], damaged: &BTreeSet<Name>) -> fmt::Result {
    let lines = arenas.len().div_ceil(COLUMNS);
    let (width, height) = (COLUMNS * PITCH, lines * PITCH);
    writeln!(
        page,
        "<svg class=\"strip\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"arenas as squares\">"
    )?;
    for (number, arena) in arenas.iter().enumerate() {
        let (x, y) = (number % COLUMNS * PITCH, number / COLUMNS * PITCH);
        let filled = if arena.current.sealed { SIDE } else { filled(occupied(arena), arena.size) };
        if filled < SIDE {
            let side = SIDE;
            write!(
                page,
                "<rect class=\"empty\" x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" rx=\"1\"/>"
            )?;
        }
        let state = match arena {
            arena if damaged.contains(&arena.name) => "damaged",
            arena if arena.current.sealed => "sealed",
            _ => "open",
        };
        if filled > 0 {
            let top = y as u64 + SIDE - filled;
            write!(
                page,
                "<rect class=\"{state}\" x=\"{x}\" y=\"{top}\" width=\"{SIDE}\" height=\"{filled}\" rx=\"1\"/>"
            )?;
        }
    }
    writeln!(page, "</svg>")
}

/// The part of a square that shows `used` of `size`; never nothing for something.
fn filled(used: u64, size: u64) -> u64 {
    let exact = u128::from(used) * u128::from(SIDE);
    let filled = exact.div_ceil(u128::from(size.max(1)));
    u64::try_from(filled).unwrap_or(SIDE).min(SIDE)
}

fn row(page: &mut String, arena: &ArenaStatus, damaged: bool) -> fmt::Result {
    let held = arena.current;
    let state = match (held.sealed, arena.seal.is_some()) {
        (false, _) => "open",
        (true, false) => "sealed",
        (true, true) => "sealed, summed",
    };
    let damage = if damaged { " <span class=\"bad\">damaged</span>" } else { "" };
    let percent = occupied(arena).saturating_mul(100).checked_div(arena.size).unwrap_or(0);
    let stored = held.used.saturating_sub(u64::from(held.clumps) * CLUMP_HEADER_LEN as u64);
    writeln!(
        page,
        "<tr><td>{}</td><td>{state}{damage}</td><td class=\"n\">{percent} %</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        Escaped(&format!("{}", arena.name)),
        Commas(held.clumps.into()),
        Bytes(held.uncompressed_size),
        Ratio(held.uncompressed_size, stored),
        Date(arena.written_at),
        Date(arena.scrub.map(|record| record.ended).unwrap_or_default()),
        Escaped(&arena.partition),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_shows_the_first_block_and_does_not_overflow() {
        assert_eq!([0, 1, 50, 100, 1000].map(|used| filled(used, 100)), [0, 1, 5, 10, 10]);
        assert_eq!(filled(u64::MAX, u64::MAX), 10);
        assert_eq!(filled(1, 0), 10);
    }
}
