//! `granary serve`: a node on this host, with the same engine and the same protocol code as the machine's.

mod http;
mod p9;
mod replicate;
mod secure;
mod tls;

use crate::dial::{Dial, VENTI_PORT};
use crate::host::clock::HostClock;
use crate::host::device::{Access, FileDevice};
use crate::host::parts::{self, FileParts};
use crate::host::pool::Threads;
use crate::host::{self, stream};
use crate::outcome::{CodedError, OutputArgs};
use anyhow::{Context, anyhow};
use http::Http;
use net::clock::Clock;
use net::secure::Logins;
use net::venti::connections::{Connections, Ticket};
use net::venti::serve::{Limits, serve_connection};
use net::venti::store_blocks::StoreBlocks;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use storage::fat::NineFat;
use storage::names::NameKeeper;
use storage::partition::Partition;
use storage::scrub::Keeper;
use storage::settings::{Scrub, Users};
use storage::store::{Store, StoreSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

/// Arguments of `granary serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary serve --disk disk.img\n  \
    granary serve --disk arenas.img --disk isect.img --disk bloom.img --listen tcp!127.0.0.1!21000\n  \
    granary serve --config venti.conf\n\n\
    Ends cleanly, with everything durable, on interrupt or termination.")]
pub struct Args {
    /// A disk, a disk image, or a file that is one venti partition; may be repeated.
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    disk: Vec<PathBuf>,

    /// Serve the partitions that a venti.conf names. Its other lines are not used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where to listen. Port 0 takes any free one, and prints it.
    #[arg(long, default_value = "tcp!127.0.0.1!17034", value_name = "ADDRESS")]
    listen: Dial,

    /// Where to show the node by HTTP, to whoever reaches that address; not at all without it.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<Dial>,

    /// Where to serve the node's tree by 9P, with all rights, to whoever reaches that address; not at all without it.
    #[arg(long, value_name = "ADDRESS")]
    p9: Option<Dial>,

    /// Where to serve venti by TLS 1.3, to whoever the disk's 9fat lists in thumbprints; not at all without it.
    #[arg(long, value_name = "ADDRESS")]
    tls: Option<Dial>,
    /// Where to serve venti behind Plan 9's authentication, to the users of --users, as the account in the disk's nvram.
    #[arg(long, value_name = "ADDRESS", requires = "users")]
    secure: Option<Dial>,

    /// Where to serve the node's tree by 9P behind Plan 9's authentication, as --secure does.
    #[arg(long, value_name = "ADDRESS", requires = "users")]
    secure_p9: Option<Dial>,

    /// Who may log in, and do what, as the setting `users` of granary.ini: NAME ROLE…, NAME ROLE….
    #[arg(long, value_name = "LIST")]
    users: Option<Users>,

    /// Behind Plan 9's authentication, speak p9sk1, too, if the nvram has a key for it, as the setting `p9sk1` of
    /// granary.ini.
    #[arg(long)]
    p9sk1: bool,

    /// Connections at a time.
    #[arg(long, default_value_t = 256, value_name = "N")]
    connections: usize,

    /// Memory for recently used blocks, in MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB")]
    cache: usize,

    /// Memory for finding blocks, in MiB: ten bytes a block. If it is not enough, the index on disk is asked.
    #[arg(long, default_value_t = 256, value_name = "MIB")]
    index: usize,

    /// Threads that hash, pack and seal for the one that serves; one less than there are processors, without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=64))]
    threads: Option<u16>,

    /// Store blocks as they come, never compressed.
    #[arg(long)]
    no_compress: bool,

    /// Add empty arenas that are on these disks and not in the index.
    #[arg(long)]
    grow: bool,

    /// Replicate to the peers whose files (NAME.info) are in the disk's 9fat.
    #[arg(long)]
    peers: bool,

    /// Write nothing to the disk; refuse writes.
    #[arg(long)]
    read_only: bool,

    /// How often everything is verified, or how fast; the results are kept in the disk's 9fat.
    #[arg(long, default_value = "30d", value_name = "off|DAYSd|BYTES/s")]
    scrub: Scrub,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary serve` until it is told to stop.
///
/// # Errors
/// If the disk holds no store or is in use, the address is taken, or the last sync fails.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    host::run(serve(args))
}

type HostPart = Partition<FileDevice>;
type HostStore = Store<HostPart>;
type HostBlocks = StoreBlocks<HostPart, HostClock>;
type HostNames = NameKeeper<HostPart, HostPart>;

async fn serve(args: Args) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::new()?;
    let threads = start_threads(&args)?;
    let http = match &args.http {
        Some(address) => Some(http::start(listen(address, net::http::PORT).await?, &threads)?),
        None => None,
    };
    let (store, nine_fat, nvram) = open(&args, &threads).await?;
    let nine_fat = mount(nine_fat, args.read_only).await;
    let (store, keeper) = (Rc::new(store), Rc::new(Keeper::new(nine_fat.clone())));
    let names = Rc::new(NameKeeper::open(Rc::clone(&store), nine_fat.clone()).await);
    let peers = match args.peers {
        true => {
            let keys = replicate::keys(nvram.as_ref(), nine_fat.as_deref(), &args, &threads).await;
            replicate::start(&store, nine_fat.clone(), &names, keys)
        }
        false => Rc::default(),
    };
    let tree = p9::tree(Rc::clone(&store), nine_fat.clone(), Rc::clone(&names), Rc::clone(&peers));
    let p9 = match &args.p9 {
        Some(address) => Some(p9::start(listen(address, net::p9::PORT).await?, Rc::clone(&tree))?),
        None => None,
    };
    let connections = Connections::new(args.connections);
    let blocks = Rc::new(StoreBlocks::new(Rc::clone(&store), HostClock));
    let logins = Rc::new(Logins::default());
    let behind = secure::start(&args, nvram, &blocks, &connections, &tree, logins.clone(), &threads).await?;
    let listener = listen(&args.listen, VENTI_PORT).await?;
    let tls = match &args.tls {
        Some(address) => {
            let listener = listen(address, net::tls13::PORT).await?;
            let (blocks, connections) = (Rc::clone(&blocks), Rc::clone(&connections));
            Some(tls::start(listener, nine_fat, blocks, connections, tree, Rc::clone(&logins)).await?)
        }
        None => None,
    };
    let others = Others {
        http: http.as_ref().map(Http::address),
        p9: p9.as_deref(),
        tls: tls.as_deref(),
        behind: &behind,
    };
    announce(&args, &store, &listener, &others)?;
    spawn_keepers(&store, &keeper, &names, args.scrub);
    if let Some(http) = &http {
        http.serving(&store, &connections, names, peers);
        http.show_logins(logins);
    }
    let mut accepting = std::pin::pin!(accept(&listener, blocks, connections));
    tokio::select! {
        never = &mut accepting => match never {},
        () = store.background(tokio::time::sleep) => {}
        () = stop.asked() => {}
    }
    http.iter().for_each(Http::stopping);
    // The store's errors belong to one thread, so they travel as text.
    store.close().await.map_err(|error| anyhow!("stopping: {error}"))?;
    keeper.save(&store, HostClock.wall()).await;
    log::info!("stopped; everything is durable");
    Ok(ExitCode::SUCCESS)
}

/// Starts the threads that hash and pack.
fn start_threads(args: &Args) -> anyhow::Result<Rc<Threads>> {
    let count = args.threads.map_or_else(Threads::count_for_host, usize::from);
    Threads::start(count).context("starting threads")
}

async fn listen(address: &Dial, default_port: u16) -> anyhow::Result<TcpListener> {
    let name = if address.host == "*" { "0.0.0.0" } else { address.host.as_str() };
    let listener = TcpListener::bind((name, address.port_or(default_port))).await;
    listener.with_context(|| format!("listening on {address}"))
}

/// The scrubber and the walk beneath names, in tasks of their own: what they write is not given up half way when the node is
/// told to stop.
fn spawn_keepers(
    store: &Rc<HostStore>,
    keeper: &Rc<Keeper<HostPart>>,
    names: &Rc<HostNames>,
    setting: Scrub,
) {
    let (store, keeper, names) = (Rc::clone(store), Rc::clone(keeper), Rc::clone(names));
    tokio::task::spawn_local(async move {
        keeper.run(&store, setting, || HostClock.wall(), tokio::time::sleep).await;
    });
    tokio::task::spawn_local(async move { names.run(|| HostClock.wall(), tokio::time::sleep).await });
}

/// The signals that tell a process to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> anyhow::Result<Stop> {
        Ok(Stop { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Mounts the 9fat, if there is one.
async fn mount(part: Option<HostPart>, read_only: bool) -> Option<Rc<NineFat<HostPart>>> {
    match NineFat::open(part?, !read_only).await {
        Ok(fat) => {
            if let Some(reason) = fat.read_only().filter(|_| !read_only) {
                log::error!("9fat is only read: {reason}");
            }
            Some(Rc::new(fat))
        }
        Err(error) => {
            log::error!("9fat: {error}");
            None
        }
    }
}

/// Opens the store, and finds the 9fat and the nvram beside it.
async fn open(
    args: &Args,
    threads: &Rc<Threads>,
) -> anyhow::Result<(HostStore, Option<HostPart>, Option<HostPart>)> {
    let (parts, nine_fat, nvram) = find_parts(args).await?;
    let settings = StoreSettings {
        lump_cache_bytes: args.cache << 20,
        index_bytes_max: args.index << 20,
        dirty_bytes_max: 64 << 20,
        compress: !args.no_compress,
        read_only: args.read_only,
        ..StoreSettings::default()
    };
    let (store, report) =
        Store::open(parts, settings, HostClock.wall()).await.map_err(|error| anyhow!("{error}"))?;
    store.use_arithmetic(threads.arithmetic());
    for line in report.lines() {
        log::warn!("{line}");
    }
    for damage in &report.damage {
        log::error!("{damage}");
    }
    if args.grow {
        let names = store.adopt_unmapped().await.map_err(|error| anyhow!("adding arenas: {error}"))?;
        log::info!("{} arenas added", names.len());
    }
    Ok((store, nine_fat, nvram))
}

async fn find_parts(args: &Args) -> anyhow::Result<(FileParts, Option<HostPart>, Option<HostPart>)> {
    let access = if args.read_only { Access::Read } else { Access::Write };
    if let Some(config) = &args.config {
        return Ok((parts::of_config(config, access).await?, None, None));
    }
    let survey = parts::of_disks(&args.disk, access).await?;
    for finding in &survey.findings {
        log::warn!("{finding}");
    }
    if survey.parts.arenas.is_empty() {
        let message = "no arenas on this disk: make one with `granary image create` or venti's fmtarenas";
        return Err(CodedError::usage(message).into());
    }
    let nvram = survey.nvram(None).cloned();
    Ok((survey.parts, survey.nine_fat, nvram))
}

/// Where else the node is reached.
struct Others<'a> {
    http: Option<&'a str>,
    p9: Option<&'a str>,
    tls: Option<&'a str>,
    behind: &'a secure::Addresses,
}

fn announce(
    args: &Args,
    store: &HostStore,
    listener: &TcpListener,
    others: &Others<'_>,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let dial = format!("tcp!{}!{}", address.ip(), address.port());
    let status = store.status();
    let clumps: u64 = status.arenas.iter().map(|arena| u64::from(arena.current.clumps)).sum();
    let Others { http, p9, tls, behind } = others;
    let json = serde_json::json!({
        "address": dial, "port": address.port(), "arenas": status.arenas.len(), "clumps": clumps,
        "http": http, "p9": p9, "tls": tls, "secure": behind.venti, "secure_p9": behind.tree,
    });
    let arenas = status.arenas.len();
    let mut text = format!("granary: serving {clumps} blocks in {arenas} arenas on {dial}");
    let line = |what: &str, address: Option<&str>| {
        address.map(|address| format!("\ngranary: {what} {address}")).unwrap_or_default()
    };
    text += &line("status at", *http);
    text += &line("9P at", *p9);
    text += &line("venti by TLS 1.3 at", *tls);
    text += &line("venti with authentication at", behind.venti.as_deref());
    text += &line("9P with authentication at", behind.tree.as_deref());
    args.output.print(&json, text)
}

/// Lets clients in, for as long as it is polled. Dropped, it drops them.
async fn accept(
    listener: &TcpListener,
    blocks: Rc<HostBlocks>,
    connections: Rc<Connections>,
) -> std::convert::Infallible {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => match connections.admit(HostClock.now()) {
                    Some(ticket) => {
                        serving.spawn_local(connection(stream, peer, Rc::clone(&blocks), ticket));
                    }
                    None => log::warn!("{peer}: refused, all connections are busy"),
                },
                // Out of descriptors, most likely: wait for some to come back.
                Err(error) => {
                    log::error!("accepting: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = serving.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, peer: std::net::SocketAddr, blocks: Rc<HostBlocks>, ticket: Ticket) {
    match stream::split(stream) {
        Ok((reader, writer)) => {
            let limits = Limits::default();
            let ending = serve_connection(reader, writer, &*blocks, &limits, &HostClock, &ticket).await;
            log::info!("{peer}: {ending}");
        }
        Err(error) => log::info!("{peer}: {error}"),
    }
}
