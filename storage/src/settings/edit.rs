//! One line of `granary.ini` changed, everything else left as a person wrote it.

use super::Key;
use alloc::string::String;

/// The text with `key` set to `value`; with `None`, without it. Its line keeps its place and its comment.
pub fn edit(text: &str, key: &Key, value: Option<&str>) -> String {
    let mut edited = String::new();
    let mut left = value;
    for line in text.lines() {
        let (content, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        let names_key = content.split_once('=').is_some_and(|(name, _)| name.trim() == key.name);
        if !names_key {
            edited += line;
        } else if let Some(value) = left.take() {
            edited += &alloc::format!("{}={value}", key.name);
            if !comment.is_empty() {
                edited += " ";
                edited += comment;
            }
        } else if comment.is_empty() {
            continue;
        } else {
            edited += comment;
        }
        edited.push('\n');
    }
    if let Some(value) = left {
        edited += &alloc::format!("{}={value}\n", key.name);
    }
    edited
}

#[cfg(test)]
mod tests {
    use super::super::{FILE, Settings, key};
    use super::*;

    #[test]
    fn a_line_is_changed_added_or_taken_away_and_the_rest_stays() {
        let text = "# ours\nlog = info # loud enough\n\nip=none";
        let edit = |name, value| edit(text, key(name).unwrap(), value);
        assert_eq!(edit("log", Some("warn")), "# ours\nlog=warn # loud enough\n\nip=none\n");
        assert_eq!(edit("log", None), "# ours\n# loud enough\n\nip=none\n");
        assert_eq!(edit("ip", None), "# ours\nlog = info # loud enough\n\n");
        assert_eq!(edit("grow", Some("yes")), "# ours\nlog = info # loud enough\n\nip=none\ngrow=yes\n");
        assert_eq!(edit("grow", None), "# ours\nlog = info # loud enough\n\nip=none\n");
        for name in ["log", "ip", "grow"] {
            assert!(Settings::parse(FILE, edit(name, None).as_bytes()).is_ok());
        }
    }
}
