//! Small plots as SVG, drawn where they stand.
//!
//! Knows points and pixels. Must not know what they count. Words stand beside a plot, never in it, so that a text browser
//! shows them.

use crate::clock::Instant;
use crate::http::history::Point;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::time::Duration;

/// Units of a plot's own space; it is stretched to the width there is.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// Half a stroke stays visible at the upper end.
const MARGIN: f64 = 2.0;

/// Lines over the same time and the same scale.
pub(super) struct Plot<'a> {
    /// What it shows, for those who do not see it.
    pub(super) label: &'a str,
    /// The right end.
    pub(super) now: Instant,
    /// From the left end to the right one.
    pub(super) span: Duration,
    /// The value at the upper end; 0 for that of the highest point.
    pub(super) top: f64,
    /// Each line's class in the style sheet, and its points in order.
    pub(super) lines: &'a [(&'static str, &'a [Point])],
}

impl Plot<'_> {
    /// Appends the plot.
    pub(super) fn draw(&self, page: &mut String) -> fmt::Result {
        writeln!(
            page,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">\
             <path class=\"grid\" d=\"M0 30H{WIDTH}M0 60H{WIDTH}M0 90H{WIDTH}\"/>",
            self.label
        )?;
        let highest = self.lines.iter().flat_map(|(_, points)| points.iter()).map(|point| point.value);
        let top = if self.top > 0.0 { self.top } else { highest.fold(0.0, f64::max) };
        for (class, points) in self.lines {
            self.line(page, class, points, if top > 0.0 { top } else { 1.0 })?;
        }
        writeln!(page, "</svg>")
    }

    fn line(&self, page: &mut String, class: &str, points: &[Point], top: f64) -> fmt::Result {
        let visible = points.iter().filter(|point| self.now.since(point.at) <= self.span);
        let places: Vec<(u32, u32)> = visible.map(|point| self.place(*point, top)).collect();
        let (Some((first, _)), Some((last, _))) = (places.first(), places.last()) else { return Ok(()) };
        let mut line = String::new();
        for (number, (x, y)) in places.iter().enumerate() {
            let before = number.checked_sub(1).and_then(|before| places.get(before));
            let after = places.get(number + 1);
            // The middle of a level stretch adds nothing but bytes.
            if ![before, after].iter().all(|other| other.is_some_and(|(_, other)| other == y)) {
                write!(line, "L{x} {y}")?;
            }
        }
        let start = line.get(1..).unwrap_or_default();
        writeln!(page, "<path class=\"area {class}\" d=\"M{first} {HEIGHT}{line}L{last} {HEIGHT}Z\"/>")?;
        writeln!(page, "<path class=\"line {class}\" d=\"M{start}\"/>")
    }

    fn place(&self, point: Point, top: f64) -> (u32, u32) {
        let span = self.span.as_secs_f64().max(1.0);
        let x = WIDTH * (1.0 - self.now.since(point.at).as_secs_f64() / span);
        let y = HEIGHT - (HEIGHT - MARGIN) * (point.value / top).clamp(0.0, 1.0);
        // Within the plot, so neither is negative or large.
        (x as u32, y as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(points: &[(u64, f64)], top: f64) -> String {
        let at = |seconds: u64| Instant { micros: seconds * 1_000_000 };
        let points: Vec<Point> =
            points.iter().map(|(seconds, value)| Point { at: at(*seconds), value: *value }).collect();
        let (lines, mut page) = ([("reads", points.as_slice())], String::new());
        let span = Duration::from_secs(600);
        Plot { label: "reads", now: at(1000), span, top, lines: &lines }.draw(&mut page).unwrap();
        page
    }

    #[test]
    fn time_runs_to_the_right_and_values_upward() {
        let page = draw(&[(300, 9.0), (400, 0.0), (700, 5.0), (1000, 10.0)], 0.0);
        assert!(page.contains("<path class=\"line reads\" d=\"M0 120L300 61L600 2\"/>"), "{page}");
        assert!(page.contains("d=\"M0 120L0 120L300 61L600 2L600 120Z\""), "{page}");
        assert!(draw(&[(1000, 5.0)], 20.0).contains("line reads\" d=\"M600 90\""));
    }

    #[test]
    fn level_stretches_cost_two_points_and_no_points_no_line() {
        let level: Vec<(u64, f64)> = (400..=1000).map(|second| (second, 7.0)).collect();
        assert!(draw(&level, 0.0).contains("line reads\" d=\"M0 2L600 2\""));
        let silent: Vec<(u64, f64)> = (400..=1000).map(|second| (second, 0.0)).collect();
        assert!(draw(&silent, 0.0).contains("line reads\" d=\"M0 120L600 120\""));
        assert!(!draw(&[], 0.0).contains("reads\" d="));
    }

    #[test]
    fn no_value_leaves_the_plot() {
        for value in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
            let page = draw(&[(500, value), (1000, 1.0)], 2.0);
            assert!(!page.contains('-') || !page.contains("NaN"), "{page}");
            assert!(page.contains("L600 61"), "{page}");
        }
    }
}
