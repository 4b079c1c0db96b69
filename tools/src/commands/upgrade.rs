//! `granary upgrade`: another kernel for a node that runs.

use crate::boot_files::loadable_file;
use crate::host;
use crate::node::{NodeArgs, TEXT_MAX, restart};
use crate::outcome::OutputArgs;
use anyhow::{Context, bail};
use net::signature::hex;
use serde::Serialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::slots::{Image, Slot};

/// What stands behind the name of a file that holds its signature.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// Arguments of `granary upgrade`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary upgrade --host storage granary-kernel\n  \
    granary upgrade --host storage --restart granary-kernel\n\n\
    The kernel that runs stays in its slot; `granary rollback` returns to it. A kernel that is started three times and \
    does not serve is given up by itself.")]
pub struct Args {
    #[command(flatten)]
    node: NodeArgs,

    /// Have the node start again at once, with the new kernel.
    #[arg(long)]
    restart: bool,

    /// The signature; default: the file FILE.sig, if there is one.
    #[arg(long, value_name = "SIG")]
    signature: Option<PathBuf>,

    /// The kernel, as `cargo build --release -p boot` leaves it.
    file: PathBuf,

    #[command(flatten)]
    output: OutputArgs,
}

/// What was done.
#[derive(Serialize)]
struct Summary {
    /// Where the new kernel is.
    slot: &'static str,
    /// Its bytes.
    bytes: u32,
    /// Its checksum.
    sha256: String,
    /// Whether the node starts again now.
    restarts: bool,
}

/// Runs `granary upgrade`.
///
/// # Errors
/// If the file is no kernel, or the node does not answer or refuses it.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    let kernel = loadable_file(&args.file)?;
    let image = Image::of(&kernel).with_context(|| format!("{} is empty", args.file.display()))?;
    let signature = signature(&args.file, args.signature.as_deref())?;
    host::run(async {
        let mut node = args.node.connect().await?;
        let status = node.read("status", TEXT_MAX).await?;
        let slot = free_slot(&String::from_utf8_lossy(&status))?;
        let file = slot.file();
        let is_there = node.list("9fat").await?.iter().any(|stat| Slot::of_file(&stat.name) == Some(slot));
        match is_there {
            true => node.write(&format!("9fat/{file}"), &kernel).await,
            false => node.create("9fat", file, &kernel).await,
        }
        .with_context(|| format!("writing {file}"))?;
        let sha256 = hex(&image.sha256);
        let mut command = format!("upgrade {slot} sha256={sha256}");
        if let Some(signature) = signature {
            command += &format!(" signature={}", hex(&signature));
        }
        node.command("ctl", &command).await?;
        if args.restart {
            restart(&mut node).await?;
        }
        let when = if args.restart { "it is started now" } else { "it is started next time" };
        let text = format!("{file}: {} bytes, sha256={sha256}: {when}", image.len);
        let summary = Summary { slot: slot.name(), bytes: image.len, sha256, restarts: args.restart };
        args.output.print(&summary, text)?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The slot that the node names for a new kernel.
fn free_slot(status: &str) -> anyhow::Result<Slot> {
    match status.lines().find_map(|line| line.strip_prefix("kernel-upgrade ")) {
        Some(slot) => Ok(slot.parse()?),
        None => bail!("this node has no kernel slots: it is a process, or has no 9fat"),
    }
}

/// The signature that is given, or lies beside the kernel.
fn signature(file: &Path, given: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(SIGNATURE_SUFFIX);
    let path = given.unwrap_or(Path::new(&beside));
    match std::fs::read(path) {
        Ok(signature) => Ok(Some(signature)),
        Err(error) if given.is_none() && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_says_where_a_new_kernel_goes() {
        assert_eq!(free_slot("sysname x\nkernel-runs a\nkernel-upgrade b\n").unwrap(), Slot::B);
        assert!(free_slot("sysname x\n").unwrap_err().to_string().contains("no kernel slots"));
        assert!(free_slot("kernel-upgrade c\n").is_err());
    }

    #[test]
    fn a_signature_beside_the_kernel_is_taken_and_one_that_is_named_must_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = folder.path().join("kernel");
        assert_eq!(signature(&kernel, None).unwrap(), None);
        std::fs::write(folder.path().join("kernel.sig"), b"signed").unwrap();
        assert_eq!(signature(&kernel, None).unwrap(), Some(b"signed".to_vec()));
        assert!(signature(&kernel, Some(&folder.path().join("other"))).is_err());
    }
}
