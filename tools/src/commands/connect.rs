//! `granary connect`: a door to a service behind Plan 9's authentication and TLS, or such a door in front of one; and to a
//! service behind TLS 1.3.

mod pinned;
mod relay;
pub mod secret;

use crate::dial::{Dial, VENTI_PORT};
use crate::host::auth_servers::HostAuthServers;
use crate::host::clock::HostClock;
use crate::host::pool::Threads;
use crate::host::rng::HostRng;
use crate::host::{self, stream};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use net::auth::{Account, Domain, UserName};
use net::secure::{self, Caller, Door, GOODBYE, Identity, Means, Secured};
use net::tls13;
use pinned::Pinned;
use secret::SecretArgs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Connections at a time.
const CONNECTIONS: usize = 256;

/// What has no meaning beside a key.
const PLAN9: [&str; 8] = ["user", "domain", "auth", "server", "accept", "key_file", "password_file", "p9sk1"];

/// Arguments of `granary connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    granary connect --auth authhost --user ada tcp!127.0.0.1!17034 tcp!storage!27034\n  \
    granary connect --accept --user venti --domain lab.example tcp!*!27034 tcp!127.0.0.1!17034\n  \
    granary connect --key host.key --trust sha256=HASH tcp!127.0.0.1!17034 tcp!storage!17035\n\n\
    Does what `tlsclient -a` with a listener does on Plan 9, and with --accept what `tlssrv -A` does;\n\
    with --key, TLS 1.3 between keys that know each other.\n\
    Ends on interrupt or termination.")]
pub struct Args {
    /// Where to listen. Port 0 takes any free one, and prints it. Without a port: 17034, with --accept 27034.
    #[arg(value_name = "LISTEN")]
    listen: Dial,

    /// Where to connect to for each connection. Without a port: 27034, with --accept 17034, with --key 17035.
    #[arg(value_name = "REMOTE")]
    remote: Dial,

    /// The account that proves itself: ours with the client's end, with --accept the server's.
    #[arg(long, value_name = "NAME", required_unless_present = "key")]
    user: Option<String>,

    /// Prove with this key, by TLS 1.3, instead of an account: a file that `granary key new --out` made.
    #[arg(long, value_name = "FILE", requires = "trust", conflicts_with_all = PLAN9)]
    key: Option<PathBuf>,

    /// The certificate that the server may show, as `granary key show` prints it; may be repeated.
    #[arg(long, value_name = "LINE", requires = "key")]
    trust: Vec<String>,

    /// The authentication domain. Without it, the first that the server offers; with --accept it must be given.
    #[arg(long, value_name = "DOMAIN", required_if_eq("accept", "true"))]
    domain: Option<String>,

    /// An authentication server; may be repeated, they are tried in turn. Port 567 unless given. Without it, the host
    /// p9auth.DOMAIN.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "accept")]
    auth: Vec<Dial>,

    /// The account that the server must have. Without it, whoever has an account can play the server.
    #[arg(long, value_name = "NAME", conflicts_with = "accept")]
    server: Option<String>,

    /// Be the server's end: let clients prove themselves, and connect those that do to a plain service.
    #[arg(long)]
    accept: bool,

    /// Threads that seal and open for the one that carries; one less than there are processors, without it.
    #[arg(long, value_name = "N", conflicts_with = "key", value_parser = clap::value_parser!(u16).range(..=64))]
    threads: Option<u16>,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary connect` until it is told to stop.
///
/// # Errors
/// If there is no password, a name is none, or the address is taken.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(connect(args))
}

async fn connect(args: Args) -> anyhow::Result<ExitCode> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let relay = Rc::new(Relay::new(&args)?);
    let listen_port = if args.accept { secure::VENTI_PORT } else { VENTI_PORT };
    let name = if args.listen.host == "*" { "0.0.0.0" } else { args.listen.host.as_str() };
    let listener = TcpListener::bind((name, args.listen.port_or(listen_port))).await;
    let listener = listener.with_context(|| format!("listening on {}", args.listen))?;
    announce(&args, &relay, listener.local_addr()?)?;
    tokio::select! {
        never = accept(&listener, relay) => match never {},
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn announce(args: &Args, relay: &Relay, address: SocketAddr) -> anyhow::Result<()> {
    let dial = format!("tcp!{}!{}", address.ip(), address.port());
    let user = args.user.as_deref().unwrap_or_default();
    let remote = Dial { port: Some(relay.remote.1), host: relay.remote.0.clone() };
    let json = serde_json::json!({
        "address": dial, "port": address.port(), "remote": remote.to_string(), "user": user,
        "accept": args.accept,
    });
    let text = match relay.end {
        End::Caller { .. } => format!("granary: {dial} leads to {remote} as {user}"),
        End::Server { .. } => format!("granary: {user} lets clients in on {dial}, to {remote}"),
        End::Pinned(_) => format!("granary: {dial} leads to {remote} by TLS 1.3"),
    };
    args.output.print(&json, text)
}

/// What happens to each connection.
struct Relay {
    remote: (String, u16),
    end: End,
}

/// Which end of a secured connection is ours.
enum End {
    Caller { caller: Caller, servers: HostAuthServers, means: Means<HostClock, HostRng> },
    Server { identity: Identity, door: Door<HostClock, HostRng> },
    Pinned(Pinned),
}

impl Relay {
    fn new(args: &Args) -> anyhow::Result<Relay> {
        let (end, port) = match &args.key {
            Some(key) => (End::Pinned(Pinned::new(key, &args.trust)?), tls13::PORT),
            None if args.accept => (End::server(args)?, VENTI_PORT),
            None => (End::caller(args)?, secure::VENTI_PORT),
        };
        Ok(Relay { remote: (args.remote.host.clone(), args.remote.port_or(port)), end })
    }

    /// Carries one connection from its first byte to its last.
    async fn carry(&self, stream: TcpStream, peer: SocketAddr) -> anyhow::Result<()> {
        let near = stream::split(stream)?;
        let dialled = async {
            let (host, port) = &self.remote;
            let opened = TcpStream::connect((host.as_str(), *port)).await;
            let stream = opened.with_context(|| format!("connecting to tcp!{host}!{port}"))?;
            anyhow::Ok(stream::split(stream)?)
        };
        let (plain, secured) = match &self.end {
            End::Caller { caller, servers, means } => {
                let (reader, writer) = dialled.await?;
                (near, secure::dial(reader, writer, caller, servers, means).await?)
            }
            End::Server { identity, door } => {
                let Some(secured) = door.let_in(near, peer, identity, |_| true).await else { return Ok(()) };
                (dialled.await?, secured)
            }
            End::Pinned(pinned) => return pinned.carry(near, dialled.await?, peer).await,
        };
        let Secured { user, mut reader, mut writer, .. } = secured;
        let ended = relay::relay(plain, (&mut reader, &mut writer)).await;
        writer.close(&HostClock, GOODBYE).await;
        match ended {
            Ok(()) => log::info!("{peer}: {user} is done"),
            Err(kind) => log::info!("{peer}: the connection of {user} failed: {kind:?}"),
        }
        Ok(())
    }
}

impl End {
    fn caller(args: &Args) -> anyhow::Result<End> {
        let server = args.server.as_deref().map(user_name).transpose()?;
        let (account, domain) = (account(args)?, domain(args)?);
        Ok(End::Caller {
            caller: Caller { account, domain, server },
            servers: HostAuthServers { named: args.auth.clone() },
            means: means(args)?,
        })
    }

    fn server(args: &Args) -> anyhow::Result<End> {
        let Some(domain) = domain(args)? else {
            return Err(CodedError::usage("--accept needs --domain").into());
        };
        let identity = Identity { account: account(args)?, domain };
        Ok(End::Server { identity, door: Door { means: means(args)?, ..Door::new(HostClock, HostRng) } })
    }
}

fn means(args: &Args) -> anyhow::Result<Means<HostClock, HostRng>> {
    let count = args.threads.map_or_else(Threads::count_for_host, usize::from);
    let threads = Threads::start(count).context("starting threads")?;
    Ok(Means::new(HostClock, HostRng).helped_by(threads.arithmetic()))
}

fn account(args: &Args) -> anyhow::Result<Account> {
    args.secret.account(user_name(args.user.as_deref().unwrap_or_default())?)
}

fn domain(args: &Args) -> anyhow::Result<Option<Domain>> {
    args.domain.as_deref().map(domain_name).transpose()
}

/// A name that an account can have.
///
/// # Errors
/// It is none.
pub fn user_name(name: &str) -> anyhow::Result<UserName> {
    let parsed = UserName::new(name).ok().filter(|name| !name.is_empty());
    Ok(parsed.ok_or_else(|| CodedError::usage(format!("{name:?} is no user: 1 to 27 bytes of text")))?)
}

/// A name that a domain can have.
///
/// # Errors
/// It is none.
pub fn domain_name(name: &str) -> anyhow::Result<Domain> {
    let parsed = Domain::new(name).ok().filter(|name| !name.is_empty() && !name.as_str().contains(' '));
    let form = "1 to 47 bytes of text without blanks";
    Ok(parsed.ok_or_else(|| CodedError::usage(format!("{name:?} is no domain: {form}")))?)
}

/// Takes connections, for as long as it is polled. Dropped, it drops them.
async fn accept(listener: &TcpListener, relay: Rc<Relay>) -> std::convert::Infallible {
    let mut carried = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if carried.len() < CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let relay = Rc::clone(&relay);
                    carried.spawn_local(async move {
                        if let Err(error) = relay.carry(stream, peer).await {
                            log::warn!("{peer}: {error:#}");
                        }
                    });
                }
                // Out of descriptors, most likely: wait for some to come back.
                Err(error) => {
                    log::error!("accepting: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = carried.join_next() => {}
        }
    }
}
