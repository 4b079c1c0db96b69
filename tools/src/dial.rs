//! Which server a command talks to.

pub use net::dial::Dial;
pub use net::venti::PORT as VENTI_PORT;

/// Flattened into the arguments of every client of a venti server.
#[derive(Clone, Debug, clap::Args)]
pub struct HostArgs {
    /// The venti server, as tcp!HOST!PORT or HOST; port 17034 unless given.
    #[arg(short = 'h', long, env = "venti", value_name = "HOST")]
    pub host: Option<Dial>,
}

impl HostArgs {
    /// The server to talk to.
    ///
    /// # Errors
    /// If neither `--host` nor `$venti` names one.
    pub fn dial(&self) -> anyhow::Result<Dial> {
        let missing = || crate::outcome::CodedError::usage("no server named: give --host HOST or set $venti");
        Ok(self.host.clone().ok_or_else(missing)?)
    }
}
