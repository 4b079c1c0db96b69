//! How a command ends: its exit code, and what `--json` means. Part of the contract with outsiders.

use std::process::ExitCode;

/// What `--help` says about exit codes.
pub const EXIT_CODES_HELP: &str =
    "Exit codes: 0 good, 1 failed, 2 usage, 20 damage found, 21 something is missing below a name.";

/// It did not work; standard error says why.
pub const FAILED: u8 = 1;
/// The command line made no sense. clap uses the same.
pub const USAGE: u8 = 2;
/// The work was done, and found damage.
pub const DAMAGE: u8 = 20;
/// A name's tree is not complete.
pub const INCOMPLETE: u8 = 21;

/// Flattened into the arguments of every command whose result a machine may want to read.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct OutputArgs {
    /// Print the result as one JSON value.
    #[arg(long)]
    pub json: bool,
}

impl OutputArgs {
    /// Prints `result` on standard output: as JSON if asked for, else as `text` (without its final newline).
    ///
    /// # Errors
    /// If the value cannot be written as JSON, or standard output cannot be written.
    pub fn print(&self, result: &impl serde::Serialize, text: impl std::fmt::Display) -> anyhow::Result<()> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(result)?)?;
        } else {
            writeln!(out, "{text}")?;
        }
        Ok(out.flush()?)
    }
}

/// An error that ends the command with a code of its own; any other ends it with [`FAILED`].
/// Attach it with `anyhow::Error::from` or `bail!(CodedError::usage(…))`.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CodedError {
    code: u8,
    message: String,
}

impl CodedError {
    /// The command line made no sense in a way that clap could not see.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// Damage stands in the way.
    pub fn damage(message: impl Into<String>) -> Self {
        Self { code: DAMAGE, message: message.into() }
    }

    /// Blocks are missing.
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self { code: INCOMPLETE, message: message.into() }
    }
}

/// The exit code for an error that reached the top: that of the first [`CodedError`] in its chain.
pub fn of_error(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(error.downcast_ref::<CodedError>().map_or(FAILED, |coded| coded.code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_keeps_its_code_under_added_context() {
        let plain: anyhow::Result<()> = Err(anyhow::anyhow!("no such file"));
        let coded: anyhow::Result<()> = Err(CodedError::damage("arena arenas0 is damaged").into());
        assert_eq!(of_error(&plain.context("reading").unwrap_err()), ExitCode::from(1));
        assert_eq!(of_error(&coded.context("checking").unwrap_err()), ExitCode::from(20));
    }
}
