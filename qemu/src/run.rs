//! `./qemu/run`: boots a node, checks it the way a user would use it, and serves.

use crate::accelerator::Accelerator;
use crate::client::Client;
use crate::machine::{self, Bus, Firmware, Forward, Machine, Nic, Spec};
use crate::programs::Programs;
use crate::{http, ports, tree};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a boot may take, however slow the machine.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
/// How long a clean stop may take.
pub const STOP_LIMIT: Duration = Duration::from_secs(120);
/// A port on loopback that nobody has chosen.
const ANY_PORT: u16 = 0;

/// Boots a Granary node in QEMU, checks it and serves until interrupted.
///
/// Example: ./qemu/run --once            boot, archive, cut the power, boot, restore, compare
///          ./qemu/run --venti-port 17034   serve venti on tcp!127.0.0.1!17034
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct RunArgs {
    /// Disk image; made when absent [default: target/disk.img]
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// Size of an image that is made
    #[arg(long, default_value = "8G")]
    size: String,
    /// Memory of the node
    #[arg(long, default_value = "1G")]
    mem: String,
    /// Processors of the node
    #[arg(long, default_value_t = 1, value_name = "N")]
    smp: u32,
    /// How the node boots: QEMU loads the kernel, or a BIOS or UEFI firmware boots the disk
    #[arg(long, value_enum, default_value_t = Firmware::Direct)]
    firmware: Firmware,
    /// Bus of the disk
    #[arg(long, value_enum, default_value_t = Bus::Virtio)]
    bus: Bus,
    /// Network card
    #[arg(long, value_enum, default_value_t = Nic::Virtio)]
    nic: Nic,
    /// Port on 127.0.0.1 for venti in clear; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    venti_port: u16,
    /// Port on 127.0.0.1 for venti by TLS 1.3, which is open where the disk's thumbprints list a peer; 0: any free one
    #[arg(long, value_name = "PORT")]
    tls_port: Option<u16>,
    /// Port for venti behind p9any (not served by this version)
    #[arg(long, value_name = "PORT")]
    p9auth_port: Option<u16>,
    /// Port on 127.0.0.1 to look at the node by HTTP; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    http_port: u16,
    /// Port on 127.0.0.1 for the node's tree by 9P; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    p9_port: u16,
    /// A line for granary.ini of an image that is made
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Nodes on one virtual network (only 1 in this version)
    #[arg(long, default_value_t = 1, value_name = "N")]
    nodes: u32,
    /// Archive the project's sources, cut the power, boot, restore, compare, stop
    #[arg(long)]
    once: bool,
    /// Print QEMU's command line and stop
    #[arg(long)]
    print_command: bool,
}

/// Runs the command.
pub fn run(args: &RunArgs, programs: &Programs) -> Result<()> {
    refuse_what_is_not_there(args)?;
    let disk = args.disk.clone().unwrap_or_else(|| programs.target.join("disk.img"));
    let (venti_port, http_port) = (ports::choose(args.venti_port)?, ports::choose(args.http_port)?);
    let p9_port = ports::choose(args.p9_port)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot catch interrupts")?;
    let spec = Spec {
        shielded: true,
        memory: args.mem.clone(),
        processors: args.smp,
        firmware: args.firmware,
        bus: args.bus,
        nic: args.nic,
        forwards: forwards(args, venti_port, http_port, p9_port)?,
        ..Spec::new(&programs.kernel, &disk)
    };
    let accelerator = Accelerator::probe(&programs.kernel);
    if args.print_command {
        println!("{}", machine::printable(&spec.arguments(accelerator)?));
        return Ok(());
    }
    prepare_disk(args, programs, &disk)?;
    println!("granary: starting {} ({})", machine::QEMU, accelerator.argument());
    let node = Node { spec, accelerator, venti_port, http_port, p9_port, programs, interrupted };
    if args.once { node.main_job() } else { node.serve() }
}

/// What the contract names and a later version brings: said at once, not found out by waiting.
fn refuse_what_is_not_there(args: &RunArgs) -> Result<()> {
    ensure!(args.nodes == 1, "this version does not replicate yet: leave --nodes at 1");
    if args.p9auth_port.is_some() {
        println!("granary: nothing listens behind --p9auth-port in this version");
    }
    Ok(())
}

/// All forwarded ports. Those that nothing listens behind yet refuse connections, as a closed port does.
fn forwards(args: &RunArgs, venti_port: u16, http_port: u16, p9_port: u16) -> Result<Vec<Forward>> {
    let mut forwards = vec![
        Forward { host: venti_port, guest: 17034 },
        Forward { host: http_port, guest: 8000 },
        Forward { host: p9_port, guest: 564 },
    ];
    let on_demand = [(args.tls_port, 17035), (args.p9auth_port, 27034)];
    for (wanted, guest) in on_demand {
        if let Some(wanted) = wanted {
            let host = ports::choose(wanted)?;
            println!("granary: port {guest} of the node at tcp!127.0.0.1!{host}");
            forwards.push(Forward { host, guest });
        }
    }
    Ok(forwards)
}

fn prepare_disk(args: &RunArgs, programs: &Programs, disk: &Path) -> Result<()> {
    if disk.exists() {
        println!("granary: disk {}", disk.display());
        if !args.set.is_empty() {
            println!(
                "granary: {} exists, so --set does not apply: remove it to make it anew",
                disk.display()
            );
        }
        return Ok(());
    }
    // The forwarded ports are on loopback, and QEMU's own network is all that the node sees of the world.
    let mut settings = args.set.clone();
    for key in ["venti=", "http=", "admin="] {
        if !settings.iter().any(|setting| setting.starts_with(key)) {
            settings.push(format!("{key}0.0.0.0/0,::/0"));
        }
    }
    programs.create_image(disk, &args.size, &settings, &[])?;
    println!("granary: made disk {} ({})", disk.display(), args.size);
    Ok(())
}

struct Node<'a> {
    spec: Spec,
    accelerator: Accelerator,
    venti_port: u16,
    http_port: u16,
    p9_port: u16,
    programs: &'a Programs,
    /// The programs that are called end by themselves then, as does every wait here.
    interrupted: Arc<AtomicBool>,
}

impl Node<'_> {
    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn host(&self) -> String {
        format!("tcp!127.0.0.1!{}", self.venti_port)
    }

    fn boot(&self) -> Result<Machine> {
        let mut machine = self.spec.start(self.accelerator)?;
        let over =
            || self.is_interrupted() || !machine.is_running() || machine.started.elapsed() > BOOT_LIMIT;
        let greeted = Client::connect_until(self.venti_port, over);
        if let Err(error) = greeted {
            ensure!(!self.is_interrupted(), "interrupted; the node was killed, which its disk survives");
            let state = if machine.is_running() { "runs" } else { "has ended" };
            return Err(error.context(format!("QEMU {state}; its console:\n{}", machine.console())));
        }
        println!(
            "granary: {:.2} s from QEMU's start to the first Rhello",
            machine.started.elapsed().as_secs_f64()
        );
        Ok(machine)
    }

    /// What the project is for, seen from start to end.
    fn main_job(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (sources, restored) = (folder.path().join("sources"), folder.path().join("restored"));
        let size = tree::copy_sources(&self.programs.root, &sources)?;
        let mut machine = self.boot()?;
        let began = Instant::now();
        let score = self.programs.vac(&self.host(), &sources)?;
        report("archived", size, began.elapsed());
        println!("granary: {score}");
        machine.cut_power()?;
        println!("granary: power cut (QEMU killed)");
        let mut machine = self.boot()?;
        let began = Instant::now();
        self.programs.unvac(&self.host(), &score, &restored)?;
        report("restored", size, began.elapsed());
        let same = tree::compare(&sources, &restored)?;
        println!("granary: {} files, {} bytes compared: identical", same.files, same.bytes);
        machine.press_power_button(STOP_LIMIT)?;
        println!("granary: clean shutdown");
        println!("granary: ready");
        Ok(())
    }

    fn serve(&self) -> Result<()> {
        let mut machine = self.boot()?;
        self.check()?;
        println!("{}", machine.console().trim_end());
        machine.echo_console();
        println!("granary: venti at {} (export venti={})", self.host(), self.host());
        match http::get(self.http_port, "/readyz") {
            Ok(answer) if answer.status == 200 => {
                println!("granary: status at http://127.0.0.1:{}/", self.http_port)
            }
            // An image of an earlier version, or one that was told so.
            _ => println!("granary: no status by HTTP: the disk's granary.ini has no http=0.0.0.0/0"),
        }
        println!("granary: 9P at tcp!127.0.0.1!{}, if its granary.ini lets anybody in", self.p9_port);
        println!("granary: ready");
        while !self.is_interrupted() {
            ensure!(machine.is_running(), "QEMU has ended:\n{}", machine.console());
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("granary: stopping");
        machine.press_power_button(STOP_LIMIT)?;
        println!("granary: clean shutdown");
        Ok(())
    }

    /// Stores and restores a small tree.
    fn check(&self) -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (sample, restored) = (folder.path().join("sample"), folder.path().join("restored"));
        let size = tree::make_sample(&sample)?;
        let began = Instant::now();
        let score = self.programs.vac(&self.host(), &sample)?;
        self.programs.unvac(&self.host(), &score, &restored)?;
        tree::compare(&sample, &restored)?;
        report("self-check: stored and restored", size, began.elapsed());
        Ok(())
    }
}

fn report(what: &str, size: tree::Size, time: Duration) {
    let seconds = time.as_secs_f64();
    let rate = size.bytes as f64 / seconds / 1e6;
    println!("granary: {what} {} files, {} bytes in {seconds:.2} s ({rate:.1} MB/s)", size.files, size.bytes);
}
