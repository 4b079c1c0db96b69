//! Holds the sources to the house rules: arrows between crates, module docs, sizes, SAFETY lines, leftover markers.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::fs;
use std::path::{Path, PathBuf};

/// Lines in a file, its tests included.
const FILE_LINES_MAX: usize = 500;
/// Characters in a line.
const LINE_CHARS_MAX: usize = 135;
/// Lines between an `unsafe` and the comment above it that gives the reason.
const SAFETY_LINES_ABOVE: usize = 4;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust file of the project, as (path from the root, content).
fn sources() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> =
        ["storage", "net", "kernel", "boot", "tools", "qemu"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && !name.ends_with("/target") {
                pending.push(path);
            } else if name.ends_with(".rs") {
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn assert_none(what: &str, offenders: &[String]) {
    assert!(offenders.is_empty(), "{what}:\n{}", offenders.join("\n"));
}

#[test]
fn crates_depend_downward_only() {
    let allowed: [(&str, &[&str]); 6] = [
        ("storage", &[]),
        ("net", &["storage"]),
        ("kernel", &["net", "storage"]),
        ("boot", &["kernel", "net", "storage"]),
        ("tools", &["net", "storage"]),
        ("qemu", &["net", "storage"]),
    ];
    for (name, below) in allowed {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for (other, _) in allowed {
            let depends = manifest.lines().any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            assert!(!depends || below.contains(&other), "{name} must not depend on {other}");
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    let offenders: Vec<String> =
        sources().into_iter().filter(|(_, text)| !text.starts_with("//!")).map(|(name, _)| name).collect();
    assert_none("files that do not open with a module comment", &offenders);
}

#[test]
fn files_and_lines_stay_readable() {
    let mut offenders = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            offenders.push(format!("{name}: {lines} lines"));
        }
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > LINE_CHARS_MAX {
                offenders.push(format!("{name}:{}: {} characters", index + 1, line.chars().count()));
            }
        }
    }
    assert_none("files or lines that are too long", &offenders);
}

#[test]
fn library_crates_forbid_unsafe_code_and_the_rest_gives_reasons() {
    for name in ["storage/src/lib.rs", "net/src/lib.rs", "tools/src/main.rs", "qemu/src/main.rs"] {
        let text = fs::read_to_string(root().join(name)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{name} must forbid unsafe code");
    }
    let mut offenders = Vec::new();
    for (name, text) in
        sources().into_iter().filter(|(name, _)| name.starts_with("kernel") || name.starts_with("boot"))
    {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let above = &lines[index.saturating_sub(SAFETY_LINES_ABOVE)..=index];
            if !above.iter().any(|line| line.contains("SAFETY:")) {
                offenders.push(format!("{name}:{}", index + 1));
            }
        }
    }
    assert_none("unsafe without a SAFETY line above it", &offenders);
}

#[test]
fn nothing_unfinished_is_left() {
    // Written in halves, so that this file does not find itself.
    let markers = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("#[ig", "nore"),
        concat!("allow(dead", "_code)"),
    ];
    let mut offenders = Vec::new();
    for (name, text) in sources() {
        for (index, line) in text.lines().enumerate() {
            if markers.iter().any(|marker| line.contains(marker)) {
                offenders.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert_none("leftover markers", &offenders);
}

#[test]
fn the_kernel_pulls_in_no_libc() {
    let tree = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "-p", "boot", "-e", "normal", "--prefix", "none"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    for banned in ["libc ", "getrandom ", "ring ", "aws-lc", "std-", "tokio "] {
        assert!(!tree.lines().any(|line| line.starts_with(banned)), "the kernel depends on {banned}");
    }
    assert!(tree.lines().any(|line| line.starts_with("smoltcp ")), "the tree was not understood:\n{tree}");
}

/// The names behind `before`, up to the quote that follows.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    let mut names: Vec<&str> = text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_fuzz_target_has_its_program_and_seeds() {
    let folder = root().join("tools/fuzz");
    let read = |path: &str| fs::read_to_string(folder.join(path)).unwrap();
    let library = read("src/lib.rs");
    let targets = quoted(&library, "    (\"");
    assert!(targets.len() > 20, "the targets were not found");
    let manifest = read("Cargo.toml");
    let mut programs = quoted(&manifest, "path = \"fuzz_targets/");
    programs.retain(|program| *program != "any.rs");
    let with_ending: Vec<String> = targets.iter().map(|target| format!("{target}.rs")).collect();
    assert_eq!(programs, with_ending);
    for target in targets {
        let program = read(&format!("fuzz_targets/{target}.rs"));
        assert!(program.contains(&format!("::{target}(data)")), "the program {target} runs something else");
        let seeds = folder.join("seeds").join(target);
        assert!(fs::read_dir(seeds).is_ok_and(|seeds| seeds.count() > 0), "{target} has no seeds");
    }
}

#[test]
fn what_is_fuzzed_is_what_is_shipped() {
    let packages = |path: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let packages = text.split("[[package]]").skip(1);
        packages.map(|package| package.trim().lines().take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    let (shipped, fuzzed) = (packages("Cargo.lock"), packages("tools/fuzz/Cargo.lock"));
    // What only the fuzzer needs.
    let own = ["granary-fuzz", "libfuzzer-sys", "arbitrary", "cc", "find-msvc-tools", "jobserver", "shlex"];
    let own: Vec<String> = own.iter().map(|name| format!("name = \"{name}\" ")).collect();
    let other = |package: &&String| {
        !shipped.contains(package) && !own.iter().any(|own| package.starts_with(own.as_str()))
    };
    let offenders: Vec<String> = fuzzed.iter().filter(other).cloned().collect();
    assert_none(
        "crates of other versions in tools/fuzz/Cargo.lock; copy Cargo.lock there and build",
        &offenders,
    );
}
