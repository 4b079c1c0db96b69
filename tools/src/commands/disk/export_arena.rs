//! `granary disk export-arena`: one arena, from head to tail, to a file or to standard output.

use crate::commands::rdarena::{self, Source};
use crate::outcome::OutputArgs;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `granary disk export-arena`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary disk export-arena disk.img arenas0 --out arenas0.arena\n  \
    granary disk export-arena arenas.img arenas0 | ssh elsewhere 'cat > arenas0.arena'\n\n\
    The bytes are those of venti's rdarena; `granary wrarena` sends them to a server.")]
pub struct Args {
    /// A disk, an image, or an arena partition.
    file: PathBuf,

    /// The arena's name.
    arena: String,

    /// The file to be made; standard output without it.
    #[arg(long, short = 'o', value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary disk export-arena`.
///
/// # Errors
/// If there is no such arena, it cannot be read, or the file cannot be made.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    crate::host::run(async {
        let source = Source::find(&args.file, &args.arena).await?;
        match &args.out {
            Some(path) => {
                let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
                source.copy_to(&mut file, !args.output.json).await?;
                file.sync_all()?;
                let text = format!("{}: {} bytes", path.display(), source.len());
                let json = serde_json::json!({ "arena": args.arena, "bytes": source.len() });
                args.output.print(&json, text)?;
            }
            None => rdarena::to_standard_output(&source).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}
