//! `granary connect`: a door to a service behind Plan 9's authentication and TLS, or such a door in front of one.

mod relay;
pub mod secret;

use crate::dial::{Dial, VENTI_PORT};
use crate::host::auth_servers::HostAuthServers;
use crate::host::clock::HostClock;
use crate::host::rng::HostRng;
use crate::host::{self, stream};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::Context;
use net::auth::{Domain, UserName};
use net::secure::{self, Caller, Door, Identity, Means, Secured};
use secret::SecretArgs;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// Connections at a time.
const CONNECTIONS: usize = 256;

/// Arguments of `granary connect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    granary connect --auth authhost --user ada tcp!127.0.0.1!17034 tcp!storage!27034\n  \
    granary connect --accept --user venti --domain lab.example tcp!*!27034 tcp!127.0.0.1!17034\n\n\
    Does what `tlsclient -a` with a listener does on Plan 9, and with --accept what `tlssrv -A` does.\n\
    Ends on interrupt or termination.")]
pub struct Args {
    /// Where to listen. Port 0 takes any free one, and prints it. Without a port: 17034, with --accept 27034.
    #[arg(value_name = "LISTEN")]
    listen: Dial,

    /// Where to connect to for each connection. Without a port: 27034, with --accept 17034.
    #[arg(value_name = "REMOTE")]
    remote: Dial,

    /// The account that proves itself: ours with the client's end, with --accept the server's.
    #[arg(long, value_name = "NAME")]
    user: String,

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
    let remote = Dial { port: Some(relay.remote.1), host: relay.remote.0.clone() };
    let json = serde_json::json!({
        "address": dial, "port": address.port(), "remote": remote.to_string(), "user": args.user,
        "accept": args.accept,
    });
    let text = match relay.end {
        End::Caller { .. } => format!("granary: {dial} leads to {remote} as {}", args.user),
        End::Server { .. } => format!("granary: {} lets clients in on {dial}, to {remote}", args.user),
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
}

impl Relay {
    fn new(args: &Args) -> anyhow::Result<Relay> {
        let user_name = |name: &str| {
            let parsed = UserName::new(name).ok().filter(|name| !name.is_empty());
            parsed.ok_or_else(|| CodedError::usage(format!("{name:?} is no user: 1 to 27 bytes of text")))
        };
        let domain = args.domain.as_deref().map(|name| {
            let parsed =
                Domain::new(name).ok().filter(|name| !name.is_empty() && !name.as_str().contains(' '));
            let form = "1 to 47 bytes of text without blanks";
            parsed.ok_or_else(|| CodedError::usage(format!("{name:?} is no domain: {form}")))
        });
        let (domain, server) = (domain.transpose()?, args.server.as_deref().map(user_name).transpose()?);
        let account = args.secret.account(user_name(&args.user)?)?;
        let end = match (args.accept, domain) {
            (false, domain) => End::Caller {
                caller: Caller { account, domain, server },
                servers: HostAuthServers { named: args.auth.clone() },
                means: Means::new(HostClock, HostRng),
            },
            (true, Some(domain)) => {
                End::Server { identity: Identity { account, domain }, door: Door::new(HostClock, HostRng) }
            }
            (true, None) => return Err(CodedError::usage("--accept needs --domain").into()),
        };
        let port = if args.accept { VENTI_PORT } else { secure::VENTI_PORT };
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
        let (plain, secured): (_, Secured<_, _, _>) = match &self.end {
            End::Caller { caller, servers, means } => {
                let (reader, writer) = dialled.await?;
                (near, secure::dial(reader, writer, caller, servers, means).await?)
            }
            End::Server { identity, door } => {
                let Some(secured) = door.let_in(near, peer, identity, |_| true).await else { return Ok(()) };
                (dialled.await?, secured)
            }
        };
        let user = secured.user.clone();
        match relay::relay(plain, secured).await {
            Ok(()) => log::info!("{peer}: {user} is done"),
            Err(kind) => log::info!("{peer}: the connection of {user} failed: {kind:?}"),
        }
        Ok(())
    }
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
