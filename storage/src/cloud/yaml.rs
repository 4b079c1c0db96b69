//! YAML, as far as it is a tree of texts: lists, and maps whose keys are texts. Of several documents the first counts.
//!
//! Knows how to bound a tree. The text is taken apart by `saphyr-parser` (YAML 1.2.2, of which JSON is a part). References
//! (`*name`) are refused: a few lines of them can make a tree of any size.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use saphyr_parser::{Event, Parser};

/// Lists and maps inside one another.
const DEPTH_MAX: usize = 32;
/// Texts, lists and maps in all.
const NODES_MAX: usize = 8192;

/// A tree of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A text, number, or whatever else is written plainly.
    Text(String),
    /// The same, marked `!!binary`: base64.
    Binary(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and what they stand for, in order; no key twice.
    Map(Vec<(String, Node)>),
}

/// Why a text is no such tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct YamlError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl Node {
    /// What a key of a map stands for.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Node::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// The text of a text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The text that a key at the top stands for; `None` also where the whole is no such tree.
pub fn text_at(text: &[u8], key: &str) -> Option<String> {
    let tree = parse(core::str::from_utf8(text).ok()?).ok()??;
    tree.get(key)?.text().map(ToString::to_string)
}

/// A list or map that is not whole yet.
enum Open {
    List(Vec<Node>),
    Map(Vec<(String, Node)>, Option<String>),
}

/// Reads a text; `None` where there is no document in it.
///
/// # Errors
/// See [`YamlError`].
pub fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let mut open: Vec<Open> = Vec::new();
    let mut nodes = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| YamlError { line: error.marker().line(), problem: error.info().to_string() })?;
        let failed = |problem: &str| YamlError { line: span.start.line(), problem: problem.to_string() };
        let whole = match event {
            Event::Alias(_) => return Err(failed("references (*name) are not taken")),
            Event::Scalar(text, _, _, tag) => {
                let is_binary = tag.is_some_and(|tag| tag.suffix == "binary");
                let text = text.into_owned();
                if is_binary { Node::Binary(text) } else { Node::Text(text) }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                let is_list = matches!(event, Event::SequenceStart(..));
                if open.len() == DEPTH_MAX {
                    return Err(failed("more lists and maps inside one another than are taken"));
                }
                open.push(if is_list { Open::List(Vec::new()) } else { Open::Map(Vec::new(), None) });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Node::List(items),
                Some(Open::Map(entries, _)) => Node::Map(entries),
                None => continue,
            },
            _ => continue,
        };
        nodes += 1;
        if nodes > NODES_MAX {
            return Err(failed("more items than are taken"));
        }
        match open.last_mut() {
            None => return Ok(Some(whole)),
            Some(around) => around.take(whole).map_err(failed)?,
        }
    }
    Ok(None)
}

impl Open {
    fn take(&mut self, node: Node) -> Result<(), &'static str> {
        match self {
            Open::List(items) => items.push(node),
            Open::Map(entries, key) => match (key.take(), node) {
                (Some(key), node) => entries.push((key, node)),
                (None, Node::Text(name)) if entries.iter().all(|(other, _)| *other != name) => {
                    *key = Some(name);
                }
                (None, Node::Text(_)) => return Err("a key for the second time"),
                (None, _) => return Err("a key that is no text"),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_lists_and_texts_of_all_styles_are_a_tree() {
        let text = "#cloud-config\na: 1\nb:\n  - |\n    one\n    two\n  - {x: \"y\\n\", z: [p, q]}\nc: !!binary |\n  aGk=\n";
        let tree = parse(text).unwrap().unwrap();
        assert_eq!(tree.get("a").and_then(Node::text), Some("1"));
        let Some(Node::List(items)) = tree.get("b") else { panic!("{tree:?}") };
        assert_eq!(items[0].text(), Some("one\ntwo\n"));
        assert_eq!(items[1].get("x").and_then(Node::text), Some("y\n"));
        assert_eq!(tree.get("c"), Some(&Node::Binary("aGk=\n".into())));
        assert_eq!(tree.get("d"), None);
        assert_eq!(parse("# nothing\n"), Ok(None));
        let json = parse("{\"uuid\": \"7\", \"keys\": [{\"a\": null}]}").unwrap().unwrap();
        assert_eq!(json.get("uuid").and_then(Node::text), Some("7"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, problem) in [
            ("a: &x 1\nb: *x\n", 2, "references"),
            ("a: 1\na: 2\n", 2, "second time"),
            ("a: [\n", 2, ""),
            ("? [a]\n: b\n", 1, "no text"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.problem.contains(problem) && error.line >= line, "{text:?}: {error}");
        }
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&deep(32)).is_ok());
        assert!(parse(&deep(33)).is_err());
        assert!(parse(&deep(50_000)).is_err());
        let many = |count: usize| std::format!("[{}]", "a, ".repeat(count));
        assert!(parse(&many(8000)).is_ok());
        assert!(parse(&many(9000)).is_err());
    }
}
