//! The kernel's command line: words, some with values.
//!
//! Knows the form `word` and `key=value`. Must not know what the words mean.

/// The loader's command line. Words are parted by spaces; of a key given twice the last counts.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    line: &'a str,
}

impl<'a> CommandLine<'a> {
    /// A view of `line`.
    pub fn new(line: &'a str) -> CommandLine<'a> {
        CommandLine { line }
    }

    /// Every word, in order.
    pub fn words(self) -> impl Iterator<Item = &'a str> {
        self.line.split_ascii_whitespace()
    }

    /// Whether `word` stands alone among the words.
    pub fn has(self, word: &str) -> bool {
        self.words().any(|candidate| candidate == word)
    }

    /// The value of `key=value`.
    pub fn value(self, key: &str) -> Option<&'a str> {
        self.words()
            .filter_map(|word| word.split_once('='))
            .filter(|(name, _)| *name == key)
            .map(|(_, v)| v)
            .last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_words_and_values() {
        let line = CommandLine::new(" selftest  panic=halt venti=a=b panic=reboot ");
        assert!(line.has("selftest"));
        assert!(!line.has("panic"));
        assert_eq!(line.value("panic"), Some("reboot"));
        assert_eq!(line.value("venti"), Some("a=b"));
        assert_eq!(line.value("selftest"), None);
        assert_eq!(line.words().count(), 4);
    }
}
