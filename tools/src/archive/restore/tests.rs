//! Archives that mean harm, and archives with something missing.

use super::*;
use crate::archive::blocks::MemoryBlocks;
use proptest::prelude::*;
use proptest::sample::Index;
use storage::archive::NewBlock;
use storage::archive::entry::Entry;
use storage::archive::stream_writer::StreamWriter;
use storage::archive::writer::{ArchiveWriter, NewFile};

fn settings(target: &Path) -> Settings {
    Settings {
        action: Action::Write,
        target: target.to_path_buf(),
        set_times: false,
        verbose: false,
        paths: Vec::new(),
        files_max: 500,
        bytes_max: 1 << 20,
    }
}

fn new_file(name: &[u8], mode: u32) -> NewFile<'_> {
    NewFile { name, mode, archived_at: 0, attributes: None }
}

fn content(writer: &ArchiveWriter, bytes: &[u8], out: &mut Vec<NewBlock>) -> Entry {
    let mut stream = StreamWriter::new(writer.shape(false));
    bytes.chunks(512).for_each(|leaf| stream.push_leaf(leaf, out));
    stream.finish(bytes.len() as u64, false, out).unwrap()
}

/// An archive of files with these names, modes and contents, in a directory `d` beside `plain`.
fn archive(files: &[(&[u8], u32, &[u8])]) -> (Score, Vec<NewBlock>) {
    let (mut writer, mut out) = (ArchiveWriter::new(512).unwrap(), Vec::new());
    writer.begin_directory(&new_file(b"d", 0o755), &mut out).unwrap();
    for (name, mode, bytes) in files {
        let entry = content(&writer, bytes, &mut out);
        writer.add_file(&new_file(name, *mode), &entry, &mut out).unwrap();
    }
    writer.end_directory(&mut out).unwrap();
    let entry = content(&writer, b"plain", &mut out);
    writer.add_file(&new_file(b"plain", 0o644), &entry, &mut out).unwrap();
    (writer.finish(Score::NULL, &mut out).unwrap(), out)
}

fn kept(blocks: Vec<NewBlock>) -> MemoryBlocks {
    MemoryBlocks::with(blocks.into_iter().map(|block| (block.score, block.block_type, block.data)))
}

#[test]
fn names_that_lead_elsewhere_are_left_out_and_the_rest_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let names: [&[u8]; 7] = [b"..", b".", b"", b"../out", b"/tmp/granary-out", b"a\0b", b"good"];
    let files: Vec<_> = names.iter().map(|name| (*name, 0o644, b"x".as_slice())).collect();
    let (score, blocks) = archive(&files);
    let report = restore(&kept(blocks), &settings(&inside), score, &Progress::hidden()).unwrap();
    assert_eq!((report.problems, report.files, report.directories), (6, 2, 1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(inside.join("d")).unwrap().count(), 1);
}

#[test]
fn no_file_is_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("inside"), folder.path().join("outside"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, "precious").unwrap();
    // A link of the archive's own, and a file of the same name behind it.
    let target = outside.as_os_str().as_bytes();
    let (score, blocks) = archive(&[(b"l", mode::LINK | 0o777, target), (b"l", 0o644, b"harm")]);
    let blocks = kept(blocks);
    restore(&blocks, &settings(&inside), score, &Progress::hidden()).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
    // Links that were there before.
    fs::remove_file(inside.join("plain")).unwrap();
    symlink(&outside, inside.join("plain")).unwrap();
    fs::rename(inside.join("d"), inside.join("elsewhere")).unwrap();
    symlink("elsewhere", inside.join("d")).unwrap();
    let report = restore(&blocks, &settings(&inside), score, &Progress::hidden()).unwrap();
    assert_eq!(report.problems, 2);
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
}

#[test]
fn bounds_on_files_and_bytes_end_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<_> =
        (0..20_u8).map(|number| (vec![b'a' + number], 0o644, vec![number + 1; 4096])).collect();
    let files: Vec<_> = files.iter().map(|(name, mode, bytes)| (&name[..], *mode, &bytes[..])).collect();
    let (score, blocks) = archive(&files);
    let blocks = kept(blocks);
    let few = Settings { files_max: 5, ..settings(folder.path()) };
    assert!(
        restore(&blocks, &few, score, &Progress::hidden()).unwrap_err().to_string().contains("--max-files")
    );
    let small = Settings { bytes_max: 10_000, ..settings(folder.path()) };
    assert!(
        restore(&blocks, &small, score, &Progress::hidden()).unwrap_err().to_string().contains("--max-bytes")
    );
}

#[test]
fn only_what_was_asked_for_is_restored_and_what_is_missing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (score, blocks) = archive(&[(b"one", 0o644, b"1"), (b"two", 0o644, b"2")]);
    let paths = vec![b"d/two".to_vec(), b"d/three".to_vec()];
    let some = Settings { paths, ..settings(folder.path()) };
    let report = restore(&kept(blocks), &some, score, &Progress::hidden()).unwrap();
    assert_eq!((report.files, report.problems), (1, 1));
    assert!(folder.path().join("d/two").exists() && !folder.path().join("plain").exists());
}

#[test]
fn a_missing_block_costs_its_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (score, blocks) = archive(&[(b"lost", 0o644, b"lost content"), (b"kept", 0o644, b"kept content")]);
    let lost = Score::of(b"lost content");
    let rest = blocks.into_iter().filter(|block| block.score != lost).collect();
    let report = restore(&kept(rest), &settings(folder.path()), score, &Progress::hidden()).unwrap();
    assert_eq!((report.problems, report.files), (1, 3));
    assert!(!folder.path().join("d/lost").exists() && folder.path().join("d/kept").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Blocks are named by their scores, so that only whoever made the archive can put nonsense into one.
    /// Here the names stay and the bytes change, which reaches the same parsers.
    #[test]
    fn no_archive_makes_restoring_panic_or_run_forever(
        damage in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let many: Vec<_> = (0..30_u8).map(|n| (vec![b'f', b'a' + n], 0o644, vec![n; 700])).collect();
        let many: Vec<_> = many.iter().map(|(name, mode, bytes)| (&name[..], *mode, &bytes[..])).collect();
        let (score, blocks) = archive(&many);
        let mut raw: Vec<_> = blocks.into_iter().map(|b| (b.score, b.block_type, b.data.to_vec())).collect();
        for (block, at, to) in damage {
            let block = block.index(raw.len());
            let bytes: &mut Vec<u8> = &mut raw[block].2;
            let place = at.index(bytes.len());
            bytes[place] = to;
        }
        let at = cut.index(raw.len());
        raw[at].2.truncate(300);
        let blocks = MemoryBlocks::with(raw.into_iter().map(|(score, kind, bytes)| (score, kind, bytes.into())));
        let _ = restore(&blocks, &settings(folder.path()), score, &Progress::hidden());
    }
}
