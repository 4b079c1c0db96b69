//! What clients ask for and how long they wait: the past hour drawn, and all since the start as a table.

use super::plot::Plot;
use crate::clock::Instant;
use crate::http::escape::{Bytes, Commas, Micros, Span};
use crate::http::history::{HOUR, Point};
use crate::http::metrics::OPERATIONS;
use crate::http::view::{VentiView, View};
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display, Write};
use core::time::Duration;

/// Plots show no less.
const SPAN_MIN: Duration = Duration::from_secs(600);

/// Three plots and a table.
pub(super) fn sections(page: &mut String, view: &View, venti: &VentiView) -> fmt::Result {
    let history = view.history;
    let now = Instant::default().plus(view.uptime);
    let each_second = |value: f64| format!("{} /s", Commas(value as u64));
    let bytes = |value: f64| format!("{}/s", Bytes(value as u64));
    let micros = |value: f64| format!("{}", Micros(value as u64));
    let (reads, writes) = (history.rates(|now| now.reads), history.rates(|now| now.writes));
    plot(page, now, "Requests", &each_second, [("reads", &reads), ("writes", &writes)])?;
    let (received, sent) = (history.rates(|now| now.bytes_in), history.rates(|now| now.bytes_out));
    plot(page, now, "Traffic", &bytes, [("sent", &sent), ("received", &received)])?;
    let reads = history.times(|now| now.read_micros, |now| now.reads);
    let writes = history.times(|now| now.write_micros, |now| now.writes);
    plot(page, now, "Time for a request", &micros, [("a read", &reads), ("a write", &writes)])?;
    table(page, venti)
}

/// Two lines, with what they are and how high they reach in words.
fn plot(
    page: &mut String,
    now: Instant,
    title: &str,
    print: &dyn Fn(f64) -> String,
    lines: [(&str, &[Point]); 2],
) -> fmt::Result {
    // A young node's hour would be an empty one with a line at its end.
    let span = Duration::from_micros(now.micros).clamp(SPAN_MIN, HOUR);
    writeln!(page, "<section><h2>{title}, past {}</h2><figure>", Span(span.as_secs() / 60 * 60))?;
    let [(_, first), (_, second)] = lines;
    let drawn: [(&'static str, &[Point]); 2] = [("a", first), ("b", second)];
    Plot { label: title, now, span, top: 0.0, lines: &drawn }.draw(page)?;
    writeln!(page, "<figcaption>")?;
    for ((name, points), class) in lines.iter().zip(["a", "b"]) {
        let latest = points.last().map_or(0.0, |point| point.value);
        let most = points.iter().fold(0.0, |most, point| f64::max(most, point.value));
        let (latest, most) = (print(latest), print(most));
        writeln!(page, "<b class=\"{class}\">{name}</b> {latest}, at most {most}<br>")?;
    }
    writeln!(page, "</figcaption></figure></section>")
}

fn table(page: &mut String, venti: &VentiView) -> fmt::Result {
    writeln!(
        page,
        "<section class=\"wide\"><h2>Requests since the start, and the time that the store took</h2>\n\
         <div class=\"scroll\"><table>\n<tr><th>request</th><th class=\"n\">count</th><th class=\"n\">average</th>\
         <th class=\"n\">half within</th><th class=\"n\">99 % within</th><th class=\"n\">99.9 % within</th></tr>"
    )?;
    for (operation, name) in OPERATIONS {
        let held = &venti.latencies[operation as usize];
        let count = held.count();
        let bound = |share| if count == 0 { Bound::Nothing } else { held.bound_micros(share).into() };
        let mean = if count == 0 { Bound::Nothing } else { Bound::Within(held.mean_micros()) };
        writeln!(
            page,
            "<tr><td>{name}</td><td class=\"n\">{}</td><td class=\"n\">{mean}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            Commas(count),
            bound(500),
            bound(990),
            bound(999),
        )?;
    }
    let errors = Commas(venti.counters.errors);
    writeln!(page, "</table></div>\n<p class=\"note\">{errors} were answered by an error.</p></section>")
}

/// A time that requests kept.
enum Bound {
    Nothing,
    Within(u64),
    Beyond,
}

impl From<Option<u64>> for Bound {
    fn from(micros: Option<u64>) -> Bound {
        micros.map_or(Bound::Beyond, Bound::Within)
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Nothing => f.write_str("–"),
            Bound::Within(micros) => write!(f, "{}", Micros(*micros)),
            Bound::Beyond => f.write_str("more than 10 s"),
        }
    }
}
