//! `granary bench`: how fast a venti server is, measured the same way each time.

mod content;
mod limits;
mod measure;
mod report;
mod steps;

use crate::dial::{Dial, HostArgs};
use crate::host;
use crate::outcome::{CodedError, OutputArgs};
use crate::progress::Progress;
use content::{Content, Lumps};
use futures_util::future::try_join_all;
use limits::Limits;
use measure::{Load, Phase};
use net::venti::MAX_LUMP;
use net::venti::client::Client;
use report::{Report, Row};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary bench`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Examples:\n  granary bench -h tcp!127.0.0.1!17034\n  granary bench steps\n  \
    granary bench -h storage --sizes 1024,8192,57344 --depths 1,64 --connections 1,8 --json\n\n\
    Stores about BLOCKS x SIZE bytes for each pair of depth and connections, for good: venti never forgets.\n\
    A seed that was used on a server before makes new writes duplicates; the default one is the time.")]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    host: HostArgs,

    /// Blocks in each measurement.
    #[arg(long, default_value_t = 4096, value_name = "N")]
    blocks: usize,

    /// Sizes of blocks, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "8192", value_name = "BYTES,…")]
    sizes: Vec<usize>,

    /// Requests under way on each connection.
    #[arg(long, value_delimiter = ',', default_value = "1,32", value_name = "N,…")]
    depths: Vec<usize>,

    /// Connections at once.
    #[arg(long, value_delimiter = ',', default_value = "1,4", value_name = "N,…")]
    connections: Vec<usize>,

    /// What is measured, in this order. All but `new` and `miss` need the blocks of `new`: with the same seed
    /// they may have been stored by an earlier run, for instance to read them after a restart.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "new,duplicate,sequential,random,miss",
        value_name = "PHASE,…"
    )]
    phases: Vec<Phase>,

    /// What the blocks hold.
    #[arg(long, value_enum, default_value_t = Content::Random)]
    content: Content,

    /// The same seed makes the same blocks.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// A folder on the server's disk, if that is here: measures the disk with a file there, so that new writes are
    /// shown as a share of what it can do.
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// What is measured instead of a server.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Measure the steps of a write and of a read on this machine, without a server.
    Steps(steps::Args),
}

/// Runs `granary bench`. Every block that is read is compared with its score.
///
/// # Errors
/// If the server fails a request, or sends another block than was asked for.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if let Some(What::Steps(steps)) = &args.what {
        return steps::run(steps);
    }
    let dial = args.host.dial()?;
    check(&args)?;
    host::run(async {
        let report = measure_all(&args, &dial).await?;
        args.output.print(&report, &report)?;
        Ok(ExitCode::SUCCESS)
    })
}

fn check(args: &Args) -> Result<(), CodedError> {
    let sizes = args.sizes.iter().all(|size| (16..=MAX_LUMP).contains(size));
    let depths = args.depths.iter().all(|depth| (1..=256).contains(depth));
    let connections = args.connections.iter().all(|connections| (1..=1024).contains(connections));
    let blocks = (1..=1 << 22).contains(&args.blocks);
    match () {
        () if !sizes => Err(CodedError::usage(format!("--sizes must be from 16 to {MAX_LUMP}"))),
        () if !depths => Err(CodedError::usage("--depths must be from 1 to 256")),
        () if !connections => Err(CodedError::usage("--connections must be from 1 to 1024")),
        () if !blocks => Err(CodedError::usage("--blocks must be from 1 to 4194304")),
        () => Ok(()),
    }
}

async fn measure_all(args: &Args, dial: &Dial) -> anyhow::Result<Report> {
    let seed = args.seed.unwrap_or_else(content::seed_of_now);
    let cases = args.sizes.len() * args.connections.len() * args.depths.len();
    let total = (cases * args.phases.len() * args.blocks) as u64;
    let progress = if args.output.json { Progress::hidden() } else { Progress::items("bench", Some(total)) };
    let limits = Limits::measure(args.scratch.as_deref())?;
    let mut rows = Vec::new();
    let mut case = 0;
    for &size in &args.sizes {
        for &connections in &args.connections {
            for &depth in &args.depths {
                case += 1;
                let lumps = Lumps::make(args.content, seed, case, args.blocks, size);
                let clients = try_join_all((0..connections).map(|_| host::connect(dial))).await?;
                let load = Load { clients: &clients, depth, lumps: &lumps, seed, progress: &progress };
                for &phase in &args.phases {
                    progress.show(format!("{phase}, {size} bytes, {connections} connections, depth {depth}"));
                    let measured = load.measure(phase).await?;
                    let share = limits.share(phase, measured.mib_per_second);
                    rows.push(Row { phase, size, connections, depth, measured, share });
                }
                try_join_all(clients.into_iter().map(leave)).await?;
            }
        }
    }
    progress.finish();
    Ok(Report { host: dial.to_string(), seed, blocks: args.blocks, content: args.content, limits, rows })
}

async fn leave(client: Client) -> anyhow::Result<()> {
    client.goodbye().await;
    Ok(())
}
