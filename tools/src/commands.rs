//! The verbs, one module each.

use std::process::ExitCode;

pub mod bench;
pub mod completion;
pub mod connect;
pub mod copy;
pub mod ctl;
pub mod disk;
pub mod fat;
pub mod image;
pub mod key;
pub mod log;
pub mod names;
pub mod peers;
pub mod ping;
pub mod prove;
pub mod rdarena;
pub mod read;
pub mod rollback;
pub mod score;
pub mod serve;
pub mod simulate;
pub mod status;
pub mod sync;
pub mod unvac;
pub mod upgrade;
pub mod vac;
pub mod wrarena;
pub mod write;

/// What `granary` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Say what is on a disk, check it, bring it back.
    Disk(disk::Args),
    /// Look into the 9fat of a disk, and change it.
    Fat(fat::Args),
    /// Make bootable disk images.
    Image(image::Args),
    /// Make and show a node's key, say whose keys it trusts, and give it an account.
    Key(key::Args),
    /// Measure a venti server.
    Bench(bench::Args),
    /// Reach a service behind Plan 9's authentication and TLS as if it were here.
    Connect(connect::Args),
    /// Copy a tree of blocks from one venti server to another.
    Copy(copy::Args),
    /// Give a command to a node.
    Ctl(ctl::Args),
    /// Show the last lines of a node's log.
    Log(log::Args),
    /// Show a node's names, or add one.
    Names(names::Args),
    /// Show how far a node's peers are.
    Peers(peers::Args),
    /// Have a node read and hash everything beneath a name.
    Prove(prove::Args),
    /// Show a node's figures.
    Status(status::Args),
    /// Have a node start the kernel that it had before.
    Rollback(rollback::Args),
    /// Serve a disk or image on this host.
    Serve(serve::Args),
    /// Put the storage engine through trials on simulated disks that fail in every way.
    Simulate(simulate::Args),
    /// Ask a venti server whether it is there.
    Ping(ping::Args),
    /// Read one block from a venti server.
    Read(read::Args),
    /// Copy one arena of a partition to standard output.
    Rdarena(rdarena::Args),
    /// Send the blocks of an arena to a venti server.
    Wrarena(wrarena::Args),
    /// Write one block to a venti server.
    Write(write::Args),
    /// Make durable what was written to a venti server.
    Sync(sync::Args),
    /// Print the score of a lump, without any server.
    Score(score::Args),
    /// Restore a tree of files from a venti server.
    Unvac(unvac::Args),
    /// Give a node another kernel.
    Upgrade(upgrade::Args),
    /// Save a tree of files on a venti server.
    Vac(vac::Args),
    /// Print a script that completes this command's words in a shell.
    Completion(completion::Args),
}

impl Command {
    /// Does it. See [`crate::outcome`] for the codes.
    ///
    /// # Errors
    /// Whatever stood in the way, in words for the person who typed the command.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Command::Disk(args) => disk::run(args),
            Command::Fat(args) => fat::run(args),
            Command::Image(args) => image::run(args),
            Command::Key(args) => key::run(args),
            Command::Bench(args) => bench::run(args),
            Command::Connect(args) => connect::run(args),
            Command::Copy(args) => copy::run(args),
            Command::Ctl(args) => ctl::run(args),
            Command::Log(args) => log::run(args),
            Command::Names(args) => names::run(args),
            Command::Prove(args) => prove::run(args),
            Command::Status(args) => status::run(args),
            Command::Rollback(args) => rollback::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Simulate(args) => simulate::run(args),
            Command::Peers(args) => peers::run(args),
            Command::Ping(args) => ping::run(args),
            Command::Read(args) => read::run(args),
            Command::Rdarena(args) => rdarena::run(&args),
            Command::Wrarena(args) => wrarena::run(&args),
            Command::Write(args) => write::run(args),
            Command::Sync(args) => sync::run(args),
            Command::Score(args) => score::run(args),
            Command::Unvac(args) => unvac::run(args),
            Command::Upgrade(args) => upgrade::run(args),
            Command::Vac(args) => vac::run(args),
            Command::Completion(args) => completion::run(&args),
        }
    }
}
