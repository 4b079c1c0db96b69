//! `granary completion`: what teaches a shell to complete the words of this command.
//!
//! The script is made from the definition of the command line, so it knows every command and option there is.

use anyhow::Context;
use clap_complete::{Generator, generate, shells};
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `granary completion`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  granary completion bash > ~/.local/share/bash-completion/completions/granary\n  \
    granary completion zsh > ~/.zfunc/_granary          (a folder of zsh's $fpath)\n  \
    granary completion fish > ~/.config/fish/completions/granary.fish"
)]
pub struct Args {
    /// The shell that is to understand the script.
    shell: Shell,
}

/// A shell that we can teach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs `granary completion`: the script on standard output.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let script = match args.shell {
        Shell::Bash => script(shells::Bash),
        Shell::Zsh => script(shells::Zsh),
        Shell::Fish => script(shells::Fish),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(&script).and_then(|()| out.flush()).context("writing the script")?;
    Ok(ExitCode::SUCCESS)
}

/// In memory first: the generator knows no other answer to a pipe that was closed than a panic.
fn script(shell: impl Generator) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut crate::command_line(), "granary", &mut script);
    script
}
