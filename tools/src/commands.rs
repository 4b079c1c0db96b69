//! The verbs, one module each.

use std::process::ExitCode;

pub mod score;

/// What `granary` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the score of a lump, without any server.
    Score(score::Args),
}

impl Command {
    /// Does it. See [`crate::outcome`] for the codes.
    ///
    /// # Errors
    /// Whatever stood in the way, in words for the person who typed the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Score(args) => score::run(args),
        }
    }
}
