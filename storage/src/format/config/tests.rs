//! Configurations as people write them, right and wrong.

use super::super::test_support::never_panics;
use super::*;
use std::string::ToString;

const TEXT: &str = "# main fixture store\nindex main\nisect isect0.img\n\n  isect\tisect1.img # second\r\n\
                    arenas arenas.img\nbloom bloom.img\nmem 4m\nbcmem 0x400k\nmgr what ever it says\nqueuewrites\n\
                    addr tcp!127.0.0.1!21001\n";

#[test]
fn reads_what_venti_reads() {
    let config = VentiConfig::parse(TEXT.as_bytes()).unwrap();
    assert_eq!(config.index.unwrap().as_str(), "main");
    assert_eq!(config.sections, ["isect0.img", "isect1.img"]);
    assert_eq!(config.arenas, ["arenas.img"]);
    assert_eq!((config.mem, config.bcmem, config.icmem), (Some(4 << 20), Some(1 << 20), None));
    assert!(config.queue_writes);
    assert_eq!(config.addr.as_deref(), Some("tcp!127.0.0.1!21001"));
    assert_eq!(config.ignored_line, None);
}

#[test]
fn what_it_prints_reads_the_same() {
    let config = VentiConfig::parse(TEXT.as_bytes()).unwrap();
    assert_eq!(VentiConfig::parse(config.to_string().as_bytes()), Ok(config.clone()));
    let block = config.encode_block().unwrap();
    assert_eq!(block.len(), CONFIG_LEN);
    assert_eq!(VentiConfig::parse_block(&block), Ok(config));
}

#[test]
fn a_last_line_without_newline_is_ignored_and_reported() {
    let config = VentiConfig::parse(b"index main\narenas a").unwrap();
    assert!(config.arenas.is_empty());
    assert_eq!(config.ignored_line, Some(2));
    assert_eq!(VentiConfig::parse(b"index main\n# the end").unwrap().ignored_line, None);
}

#[test]
fn names_the_line_at_fault() {
    for (text, expected) in [
        ("index main\nbogus x\n", "configuration line 2: illegal line `bogus x`"),
        ("index main\narenas\n", "configuration line 2: illegal line `arenas`"),
        ("\narenas a b\n", "configuration line 2: illegal line `arenas a b`"),
        ("index main\nindex main\n", "configuration line 2: a second `index` line"),
        ("mem 4q\n", "configuration line 1: `4q` is no size"),
        ("mem +4\n", "configuration line 1: `+4` is no size"),
        ("mem 99999999999g\n", "configuration line 1: `99999999999g` is no size"),
        ("queuewrites yes\n", "configuration line 1: illegal line"),
        ("arenas a\n", "the configuration names no index"),
        // In a partition the text would end at the NUL, and say something else than in a file.
        ("index main\narenas a\0b\n", "configuration line 2: not text"),
    ] {
        let found = VentiConfig::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(found.starts_with(expected), "{found}");
    }
    assert_eq!(VentiConfig::parse_block(&[0; 100]), Err(ConfigError::NoConfig));
}

#[test]
fn refuses_to_write_more_than_there_is_room_for() {
    let mut config = VentiConfig::parse(TEXT.as_bytes()).unwrap();
    config.webroot = Some("/".repeat(CONFIG_LEN));
    assert!(matches!(config.encode_block(), Err(ConfigError::TooLong(len)) if len > CONFIG_LEN));
}

#[test]
fn takes_partition_names_apart() {
    let spec = |text| PartitionSpec::parse(text).map(|spec| (spec.file, spec.part));
    assert_eq!(spec("/dev/sdE0/arenas"), Some(("/dev/sdE0/arenas", PartitionPart::Whole)));
    assert_eq!(spec("disk.img:arenas"), Some(("disk.img", PartitionPart::Named("arenas"))));
    for (text, start, stop) in
        [("d:512-1k", 512, Some(1024)), ("d:-2m", 0, Some(2 << 20)), ("d:1g-", 1 << 30, None)]
    {
        assert_eq!(spec(text), Some(("d", PartitionPart::Bytes { start, stop })));
    }
    for bad in ["d:", "d:5", "d:5-x", "d:5-4", "d:\u{e9}"] {
        assert_eq!(spec(bad), None, "{bad}");
    }
}

#[test]
fn no_bytes_make_it_panic() {
    never_panics(TEXT.as_bytes(), |bytes| {
        if let Ok(config) = VentiConfig::parse(bytes) {
            config.arenas.iter().for_each(|arenas| {
                PartitionSpec::parse(arenas);
            });
            let again = VentiConfig { ignored_line: None, ..config };
            assert_eq!(VentiConfig::parse(again.to_string().as_bytes()), Ok(again));
        }
    });
}
