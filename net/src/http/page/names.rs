//! Names: how many, which wait and for what, when each was proved.

use super::super::escape::{Bytes, Commas, Escaped};
use super::super::view::{NameRow, NamesView, without_scores};
use super::Date;
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};

/// The section.
pub(super) fn section(page: &mut String, names: &NamesView) -> fmt::Result {
    writeln!(page, "<section class=\"wide\"><h2>Names</h2>")?;
    let of = |count: usize, what: &str| match count {
        0 => String::new(),
        count => format!(", {} {what}", Commas(count as u64)),
    };
    writeln!(
        page,
        "<p><b>{}</b> published{}{}{}</p>",
        Commas(names.published as u64),
        of(names.waiting, "waiting for blocks"),
        of(names.conflicts, "in conflict"),
        of(names.removed, "removed"),
    )?;
    if let Some(walk) = &names.walk {
        let what = if walk.is_full { "Proving" } else { "Walking" };
        let (name, blocks, bytes) = (Escaped(&walk.name), Commas(walk.blocks), Bytes(walk.bytes));
        writeln!(page, "<p class=\"note\">{what} {name}: {blocks} blocks, {bytes} so far</p>")?;
    }
    if !names.rows.is_empty() {
        writeln!(
            page,
            "<div class=\"scroll\"><table><tr><th>name</th><th>user</th><th>state</th><th class=\"n\">blocks</th>\
             <th class=\"n\">size</th><th>read through (UTC)</th><th>found</th></tr>"
        )?;
        names.rows.iter().try_for_each(|one| row(page, one))?;
        writeln!(page, "</table></div>")?;
    }
    let left = (names.published + names.waiting).saturating_sub(names.rows.len());
    if left > 0 {
        writeln!(page, "<p class=\"note\">and {} more</p>", Commas(left as u64))?;
    }
    writeln!(page, "</section>")
}

fn row(page: &mut String, one: &NameRow) -> fmt::Result {
    let state = if one.is_published { "published" } else { "<b>waiting</b>" };
    write!(page, "<tr><td>{}</td><td>{}</td><td>{state}</td>", Escaped(&one.name), Escaped(&one.user))?;
    let Some(proof) = &one.proof else {
        return writeln!(page, "<td class=\"n\">–</td><td class=\"n\">–</td><td>–</td><td>–</td></tr>");
    };
    let how = if proof.is_full { "proved" } else { "walked" };
    let found = match (&proof.first_fault, proof.faults) {
        (_, 0) => String::from("complete"),
        (Some(first), 1) => format!("1 fault: {}", without_scores(first)),
        (Some(first), faults) => format!("{faults} faults, the first: {}", without_scores(first)),
        (None, faults) => format!("{faults} faults"),
    };
    let bad = if proof.faults == 0 { "" } else { " class=\"bad\"" };
    writeln!(
        page,
        "<td class=\"n\">{}</td><td class=\"n\">{}</td><td>{how} {}</td><td{bad}>{}</td></tr>",
        Commas(proof.blocks),
        Bytes(proof.bytes),
        Date(proof.at),
        Escaped(&found),
    )
}
