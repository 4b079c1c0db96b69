//! How numbers and foreign texts stand in pages: nothing that a disk or a setting calls itself can be markup.

use core::fmt::{self, Write};

/// A text within HTML or XML, attributes included.
pub(super) struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // No XML may have them, in whatever form.
                letter if letter.is_control() => f.write_char('\u{fffd}')?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}

/// A text as one word of a line: blanks and what is not printed become `_`.
pub(super) struct Word<'a>(pub &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| {
            f.write_char(if letter.is_whitespace() || letter.is_control() { '_' } else { letter })
        })
    }
}

/// A number with a comma at each third digit.
pub(super) struct Commas(pub u64);

impl fmt::Display for Commas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1000 => write!(f, "{}", self.0),
            number => write!(f, "{},{:03}", Commas(number / 1000), number % 1000),
        }
    }
}

/// A number of bytes for people.
pub(super) struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} bytes", self.0);
        }
        let (mut value, mut units) = (self.0 as f64 / 1024.0, UNITS.iter());
        let mut unit = units.next();
        // What would be rounded to 1024 is one of the next unit.
        while value >= 1023.5 {
            value /= 1024.0;
            unit = units.next();
        }
        let places = usize::from(value < 9.95);
        write!(f, "{value:.places$} {}", unit.copied().unwrap_or_default())
    }
}

/// A time span for people, in its two largest units.
pub(super) struct Span(pub u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 5] =
            [(365 * 86_400, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
        let first = UNITS.iter().position(|(seconds, _)| self.0 >= *seconds).unwrap_or(UNITS.len() - 1);
        let mut rest = self.0;
        for (number, (seconds, unit)) in UNITS.iter().enumerate().skip(first).take(2) {
            let count = rest / seconds;
            rest %= seconds;
            if number == first || count > 0 {
                let blank = if number == first { "" } else { " " };
                let plural = if count == 1 { "" } else { "s" };
                write!(f, "{blank}{count} {unit}{plural}")?;
            }
        }
        Ok(())
    }
}

/// A short time for people.
pub(super) struct Micros(pub u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1000 => write!(f, "{} µs", self.0),
            1000..10_000 => write!(f, "{:.1} ms", self.0 as f64 / 1e3),
            10_000..1_000_000 => write!(f, "{} ms", self.0 / 1000),
            micros => write!(f, "{:.1} s", micros as f64 / 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn no_text_is_markup() {
        assert_eq!(Escaped("<b a='x\"'>&\n").to_string(), "&lt;b a=&#39;x&quot;&#39;&gt;&amp;\u{fffd}");
        assert_eq!(Word("my disk:\narenas\u{a0}0").to_string(), "my_disk:_arenas_0");
    }

    #[test]
    fn numbers_have_commas_as_in_venti() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (21_184_512, "21,184,512")] {
            assert_eq!(Commas(number).to_string(), text);
        }
        assert_eq!(Commas(u64::MAX).to_string(), "18,446,744,073,709,551,615");
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1.0 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (8 << 30, "8.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (61, "1 minute 1 second"),
            (7200, "2 hours"),
            (86_400 + 59, "1 day"),
            (400 * 86_400, "1 year 35 days"),
        ] {
            assert_eq!(Span(seconds).to_string(), text);
        }
        for (micros, text) in [(999, "999 µs"), (1500, "1.5 ms"), (25_000, "25 ms"), (2_500_000, "2.5 s")] {
            assert_eq!(Micros(micros).to_string(), text);
        }
    }
}
