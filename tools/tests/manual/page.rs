//! A page of the manual: its sections, its lists, and the options that they name.
//!
//! Understands as much of mdoc(7) as our pages use. Must not know what the pages are about.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Macros that may follow one another in a line.
const MACROS: [&str; 12] = ["Ar", "Cm", "Ev", "Fl", "Ic", "Nm", "No", "Ns", "Op", "Pa", "Ql", "Xr"];
/// Words that stand between others and are none.
const PUNCTUATION: [&str; 6] = [",", ".", "|", "...", "(", ")"];

/// One page.
pub struct Page {
    /// Its file's name, such as `granary-vac.1`.
    pub file: String,
    lines: Vec<String>,
}

/// An item of a list.
pub struct Item {
    /// What follows `.It`.
    pub head: String,
    /// The lines up to the next item of the same list.
    pub body: Vec<String>,
}

/// Where the pages are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Every page, by its file's name.
pub fn all() -> BTreeMap<String, Page> {
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let lines = fs::read_to_string(&path).unwrap().lines().map(String::from).collect();
        (file.clone(), Page { file, lines })
    };
    fs::read_dir(folder()).unwrap().map(read).collect()
}

impl Page {
    /// The arguments of each line of a macro.
    pub fn lines_of(&self, name: &str) -> Vec<&str> {
        let start = format!(".{name} ");
        self.lines.iter().filter_map(|line| line.strip_prefix(start.as_str())).collect()
    }

    /// The lines of a section, without its subsections if `own`; empty where there is none.
    pub fn section(&self, heading: &str, own: bool) -> &[String] {
        let ends = |line: &str| line.starts_with(".Sh ") || (own && line.starts_with(".Ss granary "));
        self.between(&format!(".Sh {heading}"), ends)
    }

    /// The lines of a subsection; empty where there is none.
    pub fn subsection(&self, heading: &str) -> &[String] {
        self.between(&format!(".Ss {heading}"), |line| line.starts_with(".Sh ") || line.starts_with(".Ss "))
    }

    fn between(&self, start: &str, ends: impl Fn(&str) -> bool) -> &[String] {
        let Some(at) = self.lines.iter().position(|line| line == start) else { return &[] };
        let rest = &self.lines[at + 1..];
        &rest[..rest.iter().position(|line| ends(line)).unwrap_or(rest.len())]
    }

    /// The lines of the synopsis that are about one command.
    pub fn synopsis(&self, command: &str) -> Vec<&str> {
        let start = format!(".Nm {command}");
        let mut ours = false;
        let lines = self.section("SYNOPSIS", true).iter().map(String::as_str);
        lines
            .filter(|line| {
                if line.starts_with(".Nm") {
                    ours = *line == start;
                }
                ours
            })
            .collect()
    }

    /// Lines to type in the examples.
    pub fn examples(&self) -> Vec<String> {
        let mut literal = false;
        let lines = self.section("EXAMPLES", true).iter();
        let lines = lines.filter(|line| {
            literal = line.starts_with(".Bd -literal") || (literal && *line != ".Ed");
            literal && !line.starts_with('.')
        });
        lines.map(|line| line.replace("\\(ti", "~").replace("\\e", "\\")).collect()
    }
}

/// The items of all lists, of lists in lists too.
pub fn items(lines: &[String]) -> Vec<Item> {
    let item = |(at, line): (usize, &String)| {
        let head = line.strip_prefix(".It ")?.to_owned();
        let mut depth = 0;
        let ends = |line: &&String| {
            let ends = depth == 0 && (line.starts_with(".It ") || *line == ".El");
            match line.get(..3) {
                Some(".Bl") => depth += 1,
                Some(".El") => depth -= 1,
                _ => {}
            }
            !ends
        };
        Some(Item { head, body: lines[at + 1..].iter().take_while(ends).cloned().collect() })
    };
    lines.iter().enumerate().filter_map(item).collect()
}

impl Item {
    /// Whether the body has this word under this macro.
    pub fn marks(&self, name: &str, word: &str) -> bool {
        let is_it = |other: &str| other.replace("\\&", "") == word;
        self.body.iter().any(|line| marked(line, name).into_iter().any(is_it))
    }
}

/// The words that stand under a macro in a line: `marked("Fl h Ar HOST , Fl -host Ar HOST", "Fl")` is `h` and `-host`.
pub fn marked<'a>(line: &'a str, name: &str) -> BTreeSet<&'a str> {
    let mut current = "";
    let mut found = BTreeSet::new();
    for word in line.trim_start_matches('.').split_whitespace() {
        if MACROS.contains(&word) {
            current = word;
        } else if current == name && !PUNCTUATION.contains(&word) {
            found.insert(word);
        }
    }
    found
}
