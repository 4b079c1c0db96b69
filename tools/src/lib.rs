//! The host command `granary`: one module per verb, under Plan 9's names where they exist.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`commands`] | one module per verb: its arguments, its work, what it prints | other verbs |
//! | [`archive`] | host files ↔ archives | command lines |
//! | [`image`] | bootable disk images: where things lie, and making them | command lines |
//! | [`boot_files`] | what an image starts with, from the files of a build | where it goes |
//! | [`pe`] | the UEFI loader's ELF file → the PE file that firmware starts | what the loader does |
//! | [`disk_show`] | what is on disks: headers, maps, tails | how it is printed |
//! | [`simulate`] | many trials of the storage engine, and their sum | what a trial does |
//! | [`dial`] | Plan 9 dial strings, `$venti` | sockets |
//! | [`host`] | sockets, time and files of this host, for our libraries | verbs |
//! | [`progress`] | bars and notes on standard error, hidden where nobody looks | what is being done |
//! | [`outcome`] | the exit codes, `--json` | why |
//!
//! To add a verb: a module in `commands/` with a clap `Args` struct and `pub fn run(args) -> anyhow::Result<ExitCode>`,
//! two lines in [`commands`] (the variant and its arm), and a page in `man/`.
//!
//! Standard output is for results, standard error for progress, notes and errors.

#![forbid(unsafe_code)]

use clap::{ArgAction, CommandFactory, Parser};
use std::process::ExitCode;

pub mod aout;
pub mod archive;
pub mod boot_files;
pub mod commands;
pub mod dial;
pub mod disk_show;
pub mod host;
pub mod image;
pub mod node;
pub mod outcome;
pub mod pe;
pub mod progress;
pub mod simulate;

/// Granary: a venti storage node, and the tools around it.
#[derive(Debug, Parser)]
#[command(name = "granary", version, max_term_width = 100, arg_required_else_help = true)]
#[command(disable_help_flag = true, after_help = outcome::EXIT_CODES_HELP)]
struct CommandLine {
    /// Least grave messages to print on standard error: error, warn, info, debug or trace.
    #[arg(long, global = true, env = "GRANARY_LOG", default_value = "warn", value_name = "LEVEL")]
    log: log::LevelFilter,

    /// Print help. (`-h` names a host, as in Plan 9's tools.)
    #[arg(long, global = true, action = ArgAction::Help)]
    help: Option<bool>,

    #[command(subcommand)]
    command: commands::Command,
}

/// The whole command line as it is defined: for completion, and for whoever compares it with the manual.
pub fn command_line() -> clap::Command {
    CommandLine::command()
}

/// Reads the command line, does what it says, and returns the exit code (see [`outcome`]).
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    host::journal::start(line.log);
    match line.command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("granary: {error:#}");
            outcome::of_error(&error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command_line().debug_assert();
    }
}
