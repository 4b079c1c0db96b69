//! `granary`: the host command. Everything is in the library; this only starts it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    tools::main()
}
