//! Starts Granary's images and attacks them from outside: what `./qemu/run` and `./qemu/test` call.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`machine`], [`accelerator`], [`serial`], [`qmp`], [`ports`] | QEMU: its life and console | venti |
//! | [`screen`] | reading what stands on a picture of a screen | who drew it |
//! | [`client`] | venti's wire protocol, written a second time | the node's code |
//! | [`wire`], [`neighbour`] | a cable to the machine, and an honest host on it | venti |
//! | [`switch`] | many machines on one network | what they are |
//! | [`http`] | asking for a page | what pages say |
//! | [`seed_server`] | a server with what a cloud has for a machine | the node's code |
//! | [`tree`] | directory trees and how they differ | archives |
//! | [`programs`] | the files of one build; calling `granary` | QEMU |
//! | [`run`] | the main job | scenarios |
//! | [`scenarios`] | one attack or promise each | each other |

#![forbid(unsafe_code)]

mod accelerator;
mod browser;
mod client;
mod http;
mod lessor;
mod machine;
mod neighbour;
mod nic;
mod ports;
mod programs;
mod qmp;
mod random;
mod run;
mod scenarios;
mod screen;
mod seed_server;
mod serial;
mod switch;
mod tree;
mod wire;

use clap::Parser;
use programs::Programs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Starts Granary's images in QEMU.
#[derive(Parser)]
#[command(name = "granary-qemu", version)]
struct Arguments {
    /// The project's folder
    #[arg(long, env = "GRANARY_ROOT", default_value = ".", hide = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Boot a node, check it, serve
    Run(run::RunArgs),
    /// Run the scenarios: boots, power cuts, attacks
    Test(scenarios::TestArgs),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = Programs::beside_this_one(arguments.root).and_then(|programs| match &arguments.command {
        Command::Run(args) => run::run(args, &programs),
        Command::Test(args) => scenarios::run(args, &programs),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("granary: {error:#}");
            ExitCode::FAILURE
        }
    }
}
