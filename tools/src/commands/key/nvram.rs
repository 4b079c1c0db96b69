//! A node's account, written into its disk's nvram in 9front's layout.

use crate::commands::connect::secret::{Keys, SecretArgs};
use crate::host::device::Access;
use crate::host::parts;
use crate::outcome::{CodedError, OutputArgs};
use anyhow::{Context, anyhow, bail};
use net::auth::nvram::{Nvram, RECORD_LEN};
use net::auth::{Domain, UserName};
use net::secure::write_identity;
use std::path::PathBuf;
use storage::device::BlockDevice;

/// Arguments of `granary key nvram`.
#[derive(Debug, clap::Args)]
pub struct NvramArgs {
    /// The disk, or an image of it; no node may serve it meanwhile.
    file: PathBuf,

    /// The account.
    #[arg(long, value_name = "NAME")]
    user: String,

    /// Its authentication domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: String,

    /// Replace an account that is there.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Writes the record, reads it back, and says who the node is now.
///
/// # Errors
/// If a name is none, there is no password, the disk has no nvram or is in use, or an account is there.
pub(super) async fn write(args: NvramArgs) -> anyhow::Result<()> {
    let user = UserName::new(&args.user).ok().filter(|name| !name.is_empty());
    let user = user.ok_or_else(|| CodedError::usage(format!("{:?} is no user: 1 to 27 bytes", args.user)))?;
    let domain = Domain::new(&args.domain).ok().filter(|name| !name.is_empty() && !args.domain.contains(' '));
    let domain =
        domain.ok_or_else(|| CodedError::usage(format!("{:?} is no domain: 1 to 47 bytes", args.domain)))?;
    let path = args.file.display();
    let survey = parts::of_disks(std::slice::from_ref(&args.file), Access::Write).await?;
    let part = survey.nvram(None).ok_or_else(|| anyhow!("{path}: no partition called nvram"))?;
    let sector = part.read(0, 1).await?;
    let record = sector.first_chunk::<RECORD_LEN>().context("the sector of nvram is too short")?;
    if let (Ok(Nvram { authid, authdom, .. }), false) = (Nvram::parse(record), args.force) {
        bail!("{path}: this is {authid} in the domain {authdom} already; --force replaces it");
    }
    let Keys { aes, des } = args.secret.keys(&user)?;
    write_identity(part, &user, &domain, aes, des).await.with_context(|| path.to_string())?;
    let json = serde_json::json!({ "user": user.as_str(), "domain": domain.as_str() });
    args.output.print(&json, format!("{path}: this node is {user} in the domain {domain}"))
}
