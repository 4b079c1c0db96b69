//! Peers: how far each is, and what went wrong.

use super::super::escape::{Bytes, Commas, Escaped};
use super::super::view::{PeerView, without_scores};
use alloc::string::String;
use core::fmt::{self, Write};

/// The section; nothing where there are no peers.
pub(super) fn section(page: &mut String, peers: &[PeerView]) -> fmt::Result {
    if peers.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<section class=\"wide\"><h2>Peers</h2><div class=\"scroll\"><table><tr><th>name</th><th>way</th><th>state</th>\
         <th class=\"n\">lacks</th><th class=\"n\">for</th><th class=\"n\">blocks sent</th>\
         <th class=\"n\">had already</th><th class=\"n\">per second</th><th class=\"n\">unreadable here</th>\
         <th>last failure</th></tr>"
    )?;
    peers.iter().try_for_each(|peer| row(page, peer))?;
    writeln!(page, "</table></div></section>")
}

fn row(page: &mut String, peer: &PeerView) -> fmt::Result {
    let progress = &peer.progress;
    let error = progress.last_error.as_deref().unwrap_or("–");
    let bad = if progress.last_error.is_some() { " class=\"bad\"" } else { "" };
    writeln!(
        page,
        "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} s</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td{bad}>{}</td></tr>",
        Escaped(&peer.name),
        peer.way,
        Escaped(&peer.state),
        Bytes(progress.lag_bytes),
        Commas(peer.lag.as_secs()),
        Commas(progress.sent_blocks),
        Commas(progress.known_blocks),
        Bytes(progress.speed),
        Commas(peer.holes as u64),
        Escaped(&without_scores(error)),
    )
}
