//! Which paths are left out: Plan 9's patterns, as vac(1) has them.
//!
//! `*` is anything within a name, `...` anything at all, `?` one letter, `[a-z]` and `[~a-z]` one of a class;
//! `*` and `?` at the start of a name do not match a dot. The first pattern that matches decides.

use anyhow::{Context, bail};
use regex::bytes::Regex;

/// Patterns in the order in which they are tried.
#[derive(Debug, Default)]
pub struct Patterns {
    rules: Vec<(Regex, bool)>,
}

impl Patterns {
    /// Leaves out what matches `pattern`.
    ///
    /// # Errors
    /// If it is no pattern.
    pub fn exclude(&mut self, pattern: &str) -> anyhow::Result<()> {
        self.rules.push((to_regex(pattern)?, false));
        Ok(())
    }

    /// Takes the rules of a file: lines `include PATTERN` and `exclude PATTERN`, empty lines and `#`
    /// comments.
    ///
    /// # Errors
    /// If a line is none of these, with its number.
    pub fn add_rules(&mut self, text: &str) -> anyhow::Result<()> {
        for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (include, pattern) = match line.split_once(' ') {
                Some(("include", pattern)) => (true, pattern),
                Some(("exclude", pattern)) => (false, pattern),
                _ => bail!("line {number}: it begins with neither `include` nor `exclude`"),
            };
            let regex = to_regex(pattern).with_context(|| format!("line {number}"))?;
            self.rules.push((regex, include));
        }
        Ok(())
    }

    /// Whether the file at `path` belongs into the archive.
    pub fn includes(&self, path: &[u8]) -> bool {
        self.rules.iter().find(|(regex, _)| regex.is_match(path)).is_none_or(|(_, include)| *include)
    }
}

fn to_regex(pattern: &str) -> anyhow::Result<Regex> {
    let mut regex = String::from("(?s-u)^(?:");
    let mut rest = pattern;
    let mut name_starts = true;
    while let Some(letter) = rest.chars().next() {
        let mut taken = letter.len_utf8();
        match letter {
            '.' if rest.starts_with("...") => {
                regex.push_str(".*");
                taken = 3;
            }
            '*' => regex.push_str(if name_starts { "(?:[^./][^/]*)?" } else { "[^/]*" }),
            '?' => regex.push_str(if name_starts { "[^./]" } else { "[^/]" }),
            '[' => {
                let end = rest.find(']').with_context(|| format!("`[` without `]` in `{pattern}`"))?;
                push_class(rest.get(1..end).unwrap_or_default(), &mut regex)?;
                taken = end + 1;
            }
            other => regex.push_str(&regex::escape(&other.to_string())),
        }
        name_starts = letter == '/';
        rest = rest.get(taken..).unwrap_or_default();
    }
    regex.push_str(")$");
    Regex::new(&regex).with_context(|| format!("`{pattern}` is no pattern"))
}

fn push_class(class: &str, regex: &mut String) -> anyhow::Result<()> {
    if class.contains('/') {
        bail!("a class in a pattern cannot have a `/`");
    }
    let (negated, letters) = class.strip_prefix('~').map_or((false, class), |letters| (true, letters));
    regex.push_str(if negated { "[^" } else { "[" });
    for letter in letters.chars() {
        if !letter.is_alphanumeric() && letter != '-' {
            regex.push('\\');
        }
        regex.push(letter);
    }
    regex.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        to_regex(pattern).unwrap().is_match(path.as_bytes())
    }

    #[test]
    fn patterns_match_as_in_plan_9() {
        for (pattern, yes, no) in [
            ("*.o", "a.o", "d/a.o"),
            ("....o", "d/a.o", "d/a.c"),
            ("d/*", "d/a", "d/.a"),
            ("?x", "ax", ".x"),
            ("a?", "a.", "a/"),
            ("[a-c]z", "bz", "dz"),
            ("[~a-c]z", "dz", "bz"),
            ("a+b", "a+b", "aab"),
            ("é*", "été", "ete"),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(!matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let mut patterns = Patterns::default();
        patterns.add_rules("# rules\n\ninclude keep.o\nexclude *.o\n").unwrap();
        assert!(patterns.includes(b"keep.o") && !patterns.includes(b"lose.o") && patterns.includes(b"c"));
    }

    #[test]
    fn a_bad_rule_is_refused_with_its_line() {
        let error = Patterns::default().add_rules("exclude a\nleave b\n").unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2"));
        assert!(Patterns::default().exclude("[ab").is_err());
    }
}
