//! `granary rdarena`, `wrarena` and `disk export-arena` on arenas of the real venti.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

#[path = "support/server.rs"]
mod server;
mod support;

use flate2::read::GzDecoder;
use server::Server;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The first arena of the filled store: its head, where it ends, and how much log it has.
const FIRST: std::ops::Range<usize> = 794_624..1_843_200;
const FIRST_END: &str = "0xf5bf4";

fn granary(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_granary")).args(arguments).env_remove("venti").output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// The real server's arena partition, in `folder`.
fn arenas(folder: &Path) -> (PathBuf, Vec<u8>) {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../storage/tests/fixtures/venti/main/arenas.img.gz");
    let mut bytes = Vec::new();
    GzDecoder::new(std::fs::File::open(fixture).unwrap()).read_to_end(&mut bytes).unwrap();
    let path = folder.join("arenas.img");
    std::fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

#[test]
fn an_arena_leaves_its_partition_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = arenas(folder.path());
    let path = path.to_str().unwrap();
    let read = granary(&["rdarena", path, "arenas0"]);
    assert!(read.status.success() && read.stdout == bytes[FIRST]);
    // As the real rdarena says it.
    let said = "copying arenas0 to standard output\narena='arenas0' [802816,1851392)\n\
        \tversion=5 created=1795380824 modified=1795380825 sealed\n\
        \tscore=938ae05a347a4cfc5b7c01389eefe79d22765af2\n\
        \tclumps=958 compressed clumps=560 data=5,013,269 compressed data=970,176 disk storage=1,030,530\n";
    assert_eq!(String::from_utf8(read.stderr).unwrap(), said);
    let out = folder.path().join("arenas0.arena");
    let exported = granary(&["disk", "export-arena", path, "arenas0", "--out", out.to_str().unwrap()]);
    assert!(exported.status.success() && std::fs::read(&out).unwrap() == bytes[FIRST], "{exported:?}");
    let unknown = granary(&["rdarena", "-q", path, "arenas99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("couldn't find arena arenas99"));
}

#[test]
fn the_blocks_of_arenas_are_sent_and_the_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = arenas(folder.path());
    let partition = path.to_str().unwrap();
    let arena = folder.path().join("a0.arena");
    std::fs::write(&arena, &bytes[FIRST]).unwrap();
    let arena = arena.to_str().unwrap();
    let server = Server::start(&support::make_disk(folder.path(), "disk.img", &["--size", "256m"]));
    let send = |arguments: &[&str]| granary(&[&["wrarena", "-h", &server.dial], arguments].concat());
    // A file of one arena; again from its end; and as ventiprog does, with the head's place in a partition.
    for arguments in
        [["-o", "0", arena, "0"], ["-o", "0", arena, FIRST_END], ["-o", "794624", partition, "0"]]
    {
        let sent = send(&arguments);
        assert_eq!(stdout(&sent), format!("end offset {FIRST_END}\n"), "{sent:?}");
        assert!(sent.status.success());
    }
    assert_eq!(stdout(&send(&["-o", "6037504", partition, "0"])), "end offset 0\n");
    let whole = send(&[partition]);
    assert!(whole.status.success() && whole.stdout.is_empty(), "{whole:?}");
    // The first block of the first arena, and one of the third.
    for score in ["11f6ad8ec52a2984abaafd7c3b516503785c2072", "bd99126ad6d3f1be5754bde2b2932d4d819183cc"] {
        assert!(granary(&["read", "-h", &server.dial, score]).status.success(), "{score}");
    }
    let beyond = send(&["-o", "0", arena, "0x10000000"]);
    assert_eq!(beyond.status.code(), Some(1));
    assert!(String::from_utf8(beyond.stderr).unwrap().contains("bad offset 0x10000000 >= 0xfc000"));
}

#[test]
fn behind_a_damaged_clump_blocks_are_sent_and_the_end_is_not_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (_, bytes) = arenas(folder.path());
    let mut bytes = bytes[FIRST].to_vec();
    // The second clump's data: it begins at 39 behind the log's start, and its header has 38 bytes.
    bytes[8192 + 39 + 38] ^= 1;
    let arena = folder.path().join("a0.arena");
    std::fs::write(&arena, &bytes).unwrap();
    let server = Server::start(&support::make_disk(folder.path(), "disk.img", &["--size", "256m"]));
    let sent = granary(&["wrarena", "-h", &server.dial, "-o", "0", arena.to_str().unwrap()]);
    assert_eq!((sent.status.code(), stdout(&sent)), (Some(20), "end offset 0x27\n"), "{sent:?}");
    let read = |score| granary(&["read", "-h", &server.dial, "-t", "0", score]).status.success();
    assert!(read("11f6ad8ec52a2984abaafd7c3b516503785c2072"));
    assert!(!read("5f8459982f9f619f4b0d9af2542a2086e56a4bef"));
}
