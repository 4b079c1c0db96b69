//! `granary completion`: shells read the scripts, and complete what there is to complete.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

/// Loads the script named by its first argument and prints what completes the rest of them.
const COMPLETE: &str = r#"
    . "$1"; shift
    function=$(complete -p granary | sed 's/.*-F \([^ ]*\).*/\1/')
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    "$function" granary "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\n' "${COMPREPLY[@]}"
"#;

fn script(shell: &str) -> Vec<u8> {
    let printed = Command::new(env!("CARGO_BIN_EXE_granary")).args(["completion", shell]).output().unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    printed.stdout
}

/// What ran well has printed.
fn text(output: Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn complete(script: &Path, words: &[&str]) -> Vec<String> {
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", COMPLETE, "bash"]).arg(script).args(words);
    let output = bash.output().expect("bash is missing: install the Debian package bash");
    text(output).lines().map(String::from).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("granary");
    std::fs::write(&path, script("bash")).unwrap();
    assert_eq!(complete(&path, &["granary", "va"]), ["vac"]);
    assert_eq!(complete(&path, &["granary", "disk", "ch"]), ["check"]);
    assert_eq!(complete(&path, &["granary", "vac", "--exc"]), ["--exclude", "--exclude-file"]);
    assert_eq!(complete(&path, &["granary", "bench", "--content", "t"]), ["text"]);
    for command in tools::command_line().get_subcommands() {
        let name = command.get_name();
        assert!(complete(&path, &["granary", name]).iter().any(|word| word == name), "{name}");
    }
}

#[test]
fn every_shell_that_is_here_reads_its_script() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = script(shell);
        assert!(script.starts_with(if shell == "zsh" { b"#compdef granary" } else { b"" }), "{shell}");
        let path = folder.path().join(shell);
        std::fs::write(&path, script).unwrap();
        match Command::new(shell).arg("-n").arg(&path).output() {
            Ok(output) => assert_eq!(text(output), "", "{shell}"),
            // Only bash is needed for anything else here.
            Err(error) => assert!(shell != "bash" && error.kind() == std::io::ErrorKind::NotFound, "{error}"),
        }
    }
}

#[test]
fn another_shell_is_refused_as_a_wrong_command_line() {
    let refused = Command::new(env!("CARGO_BIN_EXE_granary")).args(["completion", "rc"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty());
}
