//! `granary key`: the key and certificate of a node for TLS 1.3, the certificates that it trusts, and its account.

mod nvram;
mod sign;

use super::fat::open;
use crate::host;
use crate::host::clock::HostClock;
use crate::host::device::Access;
use crate::host::rng::HostRng;
use crate::outcome::{CodedError, OutputArgs};
use anyhow::{Context, bail};
use net::auth::thumbprint::Thumbprints;
use net::clock::Clock;
use net::tls13::files::THUMBPRINTS_LEN_MAX;
use net::tls13::identity::FILE_LEN_MAX;
use net::tls13::{Identity, KEY_FILE, THUMBPRINTS_FILE};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use storage::fat::FatError;

/// How much of a file is looked at to tell a disk from a key.
const PEM_BEGIN: &[u8] = b"-----BEGIN ";

/// Arguments of `granary key`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "FILE is a disk, an image of one, or a file with a key and certificate (PEM).\n\nExamples:\n  \
    granary key new a.img --name shed\n  granary key show a.img\n  \
    granary key trust b.img \"$(granary key show a.img)\"\n  granary key new --out node.key\n  \
    granary key nvram a.img --user barn --domain lab.example --password-file secret"
)]
pub struct Args {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    /// Make a key and certificate, and print the line by which peers trust it.
    New {
        /// The disk into whose 9fat they go, as node.key.
        #[arg(required_unless_present = "out")]
        file: Option<PathBuf>,
        /// A file of this host into which they go.
        #[arg(long, value_name = "KEY")]
        out: Option<PathBuf>,
        /// What people call the node.
        #[arg(long, default_value = "granary")]
        name: String,
        /// Replace a key that is there. Whoever trusts that one does not trust the new one.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the line by which peers trust a node.
    Show {
        /// The disk, or the file with the key.
        file: PathBuf,
        /// What people call the node.
        #[arg(long, default_value = "granary")]
        name: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add a line to the list of those whom a node trusts.
    Trust {
        /// The node's disk.
        file: PathBuf,
        /// The peer's line, as `granary key show` prints it.
        line: String,
        /// What the peer may do: read, write, replicate, separated by commas.
        #[arg(long, value_name = "ROLES")]
        roles: Option<String>,
    },
    /// Sign a kernel for `granary upgrade`: ECDSA on P-256 with SHA-256, in DER, beside the file as FILE.sig.
    Sign {
        /// The kernel.
        file: PathBuf,
        /// The file with the key, as `granary key new --out` makes it.
        #[arg(long, value_name = "KEY")]
        key: PathBuf,
        /// Where the signature goes instead.
        #[arg(long, value_name = "SIG")]
        out: Option<PathBuf>,
    },
    /// Print the line of granary.ini with which a node takes only kernels that this key has signed.
    Public {
        /// The file with the key.
        file: PathBuf,
    },
    /// Make a disk's node an account of Plan 9's authentication: write its nvram, as 9front's auth/wrkey does.
    Nvram(nvram::NvramArgs),
}

/// Runs `granary key`.
///
/// # Errors
/// If there is no 9fat, no key, one already, or the line is none.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(key(args.command))
}

async fn key(command: KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::New { file, out, name, force, output } => {
            let made = Identity::generate(&HostRng, &name)?;
            if let Some(file) = file {
                put(&file, &made, force).await?;
            }
            if let Some(out) = out {
                write(&out, made.to_pem()?.as_bytes(), force)?;
            }
            show(&made, &name, output)?;
        }
        KeyCommand::Show { file, name, output } => show(&load(&file).await?, &name, output)?,
        KeyCommand::Sign { file, key, out } => sign::sign(&key, &file, out)?,
        KeyCommand::Public { file } => sign::public(&file)?,
        KeyCommand::Nvram(args) => nvram::write(args).await?,
        KeyCommand::Trust { file, line, roles } => trust(&file, &line, roles.as_deref()).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(identity: &Identity, name: &str, output: OutputArgs) -> anyhow::Result<()> {
    let line = identity.line(name);
    let thumbprint = identity.fingerprint().to_string();
    output.print(&serde_json::json!({ "line": line, "thumbprint": thumbprint, "name": name }), &line)
}

/// The key in a file of this host, or in the 9fat of a disk.
///
/// # Errors
/// If there is none.
pub async fn load(path: &Path) -> anyhow::Result<Identity> {
    if begin(path)? == PEM_BEGIN {
        return in_file(path);
    }
    let volume = open(path, Access::Read).await?;
    let missing = || format!("{}: no {KEY_FILE}: `granary key new` makes one", path.display());
    parse(path, volume.read(KEY_FILE, FILE_LEN_MAX as u64).await.with_context(missing)?)
}

/// The key in a file of this host.
///
/// # Errors
/// If there is none.
pub fn in_file(path: &Path) -> anyhow::Result<Identity> {
    parse(path, std::fs::read(path).with_context(|| format!("reading {}", path.display()))?)
}

fn parse(path: &Path, text: Vec<u8>) -> anyhow::Result<Identity> {
    let text = String::from_utf8(text).with_context(|| format!("{}: it is no text", path.display()))?;
    Identity::from_pem(&text).with_context(|| path.display().to_string())
}

fn begin(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let mut bytes = Vec::new();
    file.take(PEM_BEGIN.len() as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn put(path: &Path, identity: &Identity, force: bool) -> anyhow::Result<()> {
    let mut volume = open(path, Access::Write).await?;
    match volume.entry(KEY_FILE).await {
        Err(FatError::NotFound(_)) => {}
        Ok(_) if force => {}
        Ok(_) => bail!("{}: there is a key; --force replaces it", path.display()),
        Err(error) => return Err(error.into()),
    }
    volume.replace(KEY_FILE, identity.to_pem()?.as_bytes(), HostClock.wall()).await?;
    Ok(())
}

/// Writes a file that only its owner can read.
fn write(path: &Path, content: &[u8], force: bool) -> anyhow::Result<()> {
    if force
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("replacing {}", path.display()));
    }
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.with_context(|| format!("making {} (--force replaces it)", path.display()))?;
    file.write_all(content).with_context(|| format!("writing {}", path.display()))
}

async fn trust(path: &Path, line: &str, roles: Option<&str>) -> anyhow::Result<()> {
    let line = complete(line, roles)?;
    let mut volume = open(path, Access::Write).await?;
    let before = match volume.read(THUMBPRINTS_FILE, THUMBPRINTS_LEN_MAX as u64).await {
        Err(FatError::NotFound(_)) => Vec::new(),
        before => before?,
    };
    let mut text = String::from_utf8(before).with_context(|| format!("{THUMBPRINTS_FILE}: it is no text"))?;
    Thumbprints::default().add(&text).with_context(|| format!("{THUMBPRINTS_FILE}, as it is"))?;
    if text.lines().any(|old| old == line) {
        return Ok(());
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text += &format!("{line}\n");
    volume.replace(THUMBPRINTS_FILE, text.as_bytes(), HostClock.wall()).await?;
    Ok(())
}

/// The line as it is kept: one that names a certificate, with the roles that were asked for.
///
/// # Errors
/// It names none, or there is no such role.
pub fn complete(line: &str, roles: Option<&str>) -> anyhow::Result<String> {
    let refused =
        |why: &str| Err(CodedError::usage(format!("{line:?} is no line of a thumbprint file: {why}")).into());
    if line.contains(['\n', '\r']) {
        return refused("it is more than one");
    }
    let mut line = line.trim().to_owned();
    // What other programs print of a certificate will do.
    if line.starts_with("sha256=") || line.starts_with("sha1=") {
        line = format!("x509 {line}");
    }
    let mut alone = Thumbprints::default();
    match alone.add(&line) {
        Err(error) => return refused(&error.to_string()),
        Ok(_) if alone.is_empty() => {
            return refused("it begins with neither `x509 sha256=` nor `x509 sha1=`");
        }
        Ok(_) => {}
    }
    if let Some(roles) = roles {
        let unknown = roles.split(',').find(|role| !["read", "write", "replicate"].contains(role));
        if let Some(unknown) = unknown {
            bail!(CodedError::usage(format!("there is no role {unknown:?}: read, write, replicate")));
        }
        line += &format!(" roles={roles}");
    }
    Ok(line)
}
