//! Texts that people write.

use crate::machine::command_line::CommandLine;
use storage::format::config::{CONFIG_TITLE, PartitionSpec, VentiConfig};
use storage::names::{Names, Registry};
use storage::scrub::ScrubRecords;
use storage::settings::{FILE, Settings};

/// `venti.conf`, as a file and inside a partition.
pub fn venti_config(data: &[u8]) {
    let block = VentiConfig::parse_block(&[CONFIG_TITLE.as_bytes(), data].concat());
    let Ok(config) = VentiConfig::parse(data) else { return };
    let files = config.arenas.iter().chain(&config.sections).chain(&config.bloom);
    for file in files {
        let _ = PartitionSpec::parse(file);
    }
    let text = config.to_string();
    let again = VentiConfig { ignored_line: None, ..config.clone() };
    assert_eq!(VentiConfig::parse(text.as_bytes()), Ok(again.clone()));
    if !data.contains(&0) {
        assert_eq!(block, Ok(config));
    }
    if let Ok(block) = again.encode_block() {
        assert_eq!(VentiConfig::parse_block(&block), Ok(again));
    }
}

/// `granary.ini`, and the same bytes as a command line.
pub fn settings(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    match Settings::parse(FILE, data) {
        Ok(settings) => assert!(settings.connections >= 1 && settings.status >= 1),
        Err(errors) => {
            assert!(!errors.is_empty() && errors.len() <= lines);
            assert!(errors.iter().all(|error| (1..=lines).contains(&error.line)));
            errors.iter().for_each(|error| assert!(!error.to_string().is_empty()));
        }
    }
    let Ok(line) = std::str::from_utf8(data) else { return };
    let mut settings = Settings::default();
    let (others, errors) = settings.apply_command_line(line);
    let words: Vec<&str> = CommandLine::new(line).words().collect();
    assert!(others.len() + errors.len() <= words.len());
    assert!(words.iter().all(|word| CommandLine::new(line).has(word)));
}

/// The file in 9fat in which a scrubber keeps what it found.
pub fn scrub_records(data: &[u8]) {
    let (records, bad) = ScrubRecords::parse(data);
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(bad.iter().all(|line| (1..=lines).contains(&line.0)));
    assert_eq!(ScrubRecords::parse(records.print().as_bytes()), (records, Vec::new()));
}

/// `scorenames`, as two ends have it: the first byte says where the text is cut in two.
pub fn names(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let (ours, theirs) = text.split_at(usize::from(*first).min(text.len()));
    let (ours, theirs) = (Names::parse(ours), Names::parse(theirs));
    assert_eq!([ours.text(), theirs.text()].concat(), text);
    let mut merged = ours.clone();
    merged.merge(&theirs);
    for binding in ours.iter().chain(theirs.iter()) {
        assert!(merged.has(&binding.name, binding.root));
    }
    assert!(merged.news(&ours).is_empty() && merged.news(&theirs).is_empty());
    let again = Names::parse(&merged.text());
    assert_eq!(again.iter().collect::<Vec<_>>(), merged.iter().collect::<Vec<_>>());
    let mut registry = Registry::load(text, text, text, text);
    let before = registry.removed().len();
    registry.merge(text);
    assert_eq!(registry.removed().len(), before);
}
