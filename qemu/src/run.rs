//! `./qemu/run`: boots a node, checks it the way a user would use it, and serves.

mod nodes;

use crate::accelerator::Accelerator;
use crate::client::Client;
use crate::machine::{self, Bus, Firmware, Forward, Machine, Nic, Spec};
use crate::programs::Programs;
use crate::{http as web, ports, tree};
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
///          ./qemu/run --nodes 3          three nodes, each the others' peer
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
    /// QEMU's machine: q35, pc, or microvm, with QEMU's options behind it (microvm,acpi=off)
    #[arg(long, default_value = "q35", value_name = "NAME")]
    machine: String,
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
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    tls_port: u16,
    /// Port on 127.0.0.1 for venti behind p9any, which is open where the disk has an account and `users=`; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    p9auth_port: u16,
    /// Port on 127.0.0.1 to look at the node by HTTP; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    http_port: u16,
    /// Port on 127.0.0.1 for the node's tree by 9P; 0: any free one
    #[arg(long, default_value_t = ANY_PORT, value_name = "PORT")]
    p9_port: u16,
    /// A line for granary.ini of an image that is made
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Nodes on one virtual network, each the others' peer; a port that is given is the first node's, the next ones follow
    #[arg(long, default_value_t = 1, value_name = "N")]
    nodes: u32,
    /// Archive the project's sources, cut the power, boot, restore, compare, stop; with nodes, stop after their check
    #[arg(long)]
    once: bool,
    /// Print QEMU's command line and stop
    #[arg(long)]
    print_command: bool,
}

/// Runs the command.
pub fn run(args: &RunArgs, programs: &Programs) -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).context("cannot catch interrupts")?;
    let accelerator = Accelerator::probe(&programs.kernel);
    let disk = args.disk.clone().unwrap_or_else(|| programs.target.join("disk.img"));
    let node = Node {
        spec: spec(args, programs, &disk),
        accelerator,
        ports: Ports::choose(args, 0)?,
        programs,
        interrupted,
    };
    if args.nodes > 1 { nodes::run(args, &node, &disk) } else { node.run(args, &disk) }
}

fn spec(args: &RunArgs, programs: &Programs, disk: &Path) -> Spec {
    Spec {
        shielded: true,
        memory: args.mem.clone(),
        processors: args.smp,
        firmware: args.firmware,
        bus: args.bus,
        nic: args.nic,
        machine: args.machine.clone(),
        ..Spec::new(&programs.kernel, disk)
    }
}

/// A node's ports on loopback.
#[derive(Clone, Copy)]
struct Ports {
    venti: u16,
    tls: u16,
    p9auth: u16,
    http: u16,
    p9: u16,
}

impl Ports {
    /// Those of the node of that number, from 0.
    fn choose(args: &RunArgs, number: u16) -> Result<Ports> {
        let choose = |first: u16| match first {
            ANY_PORT => ports::choose(ANY_PORT),
            first => ports::choose(first.checked_add(number).context("there are no ports that high")?),
        };
        Ok(Ports {
            venti: choose(args.venti_port)?,
            tls: choose(args.tls_port)?,
            p9auth: choose(args.p9auth_port)?,
            http: choose(args.http_port)?,
            p9: choose(args.p9_port)?,
        })
    }

    /// Where they lead. Those that nothing listens behind refuse connections, as a closed port does.
    fn forwards(self) -> [Forward; 5] {
        let guests =
            [(self.venti, 17034), (self.tls, 17035), (self.p9auth, 27034), (self.http, 8000), (self.p9, 564)];
        guests.map(|(host, guest)| Forward { host, guest })
    }
}

/// Makes the disk, unless it is there, with settings that this run needs beside those that were given. Whether it did.
fn prepare_disk(args: &RunArgs, programs: &Programs, disk: &Path, own: &[String]) -> Result<bool> {
    if disk.exists() {
        println!("granary: disk {}", disk.display());
        if !args.set.is_empty() {
            println!(
                "granary: {} exists, so --set does not apply: remove it to make it anew",
                disk.display()
            );
        }
        return Ok(false);
    }
    // The forwarded ports are on loopback, and QEMU's own network is all that the node sees of the world.
    let mut settings = args.set.clone();
    let open = ["venti", "http", "admin"].map(|key| format!("{key}=0.0.0.0/0,::/0"));
    for line in open.iter().chain(own) {
        let (key, _) = line.split_once('=').unwrap_or((line, ""));
        if !settings.iter().any(|setting| setting.split('=').next() == Some(key)) {
            settings.push(line.clone());
        }
    }
    programs.create_image(disk, &args.size, &settings, &[])?;
    println!("granary: made disk {} ({})", disk.display(), args.size);
    Ok(true)
}

struct Node<'a> {
    spec: Spec,
    accelerator: Accelerator,
    ports: Ports,
    programs: &'a Programs,
    /// The programs that are called end by themselves then, as does every wait here.
    interrupted: Arc<AtomicBool>,
}

impl Node<'_> {
    /// One node, alone.
    fn run(mut self, args: &RunArgs, disk: &Path) -> Result<()> {
        self.spec.forwards = self.ports.forwards().to_vec();
        if args.print_command {
            println!("{}", machine::printable(&self.spec.arguments(self.accelerator)?));
            return Ok(());
        }
        prepare_disk(args, self.programs, disk, &[])?;
        println!("granary: starting {} ({})", machine::QEMU, self.accelerator.argument());
        if args.once { self.main_job() } else { self.serve() }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn host(&self) -> String {
        format!("tcp!127.0.0.1!{}", self.ports.venti)
    }

    fn boot(&self) -> Result<Machine> {
        let mut machine = self.spec.start(self.accelerator)?;
        self.wait(&mut machine)?;
        Ok(machine)
    }

    /// Waits until venti answers.
    fn wait(&self, machine: &mut Machine) -> Result<()> {
        let over =
            || self.is_interrupted() || !machine.is_running() || machine.started.elapsed() > BOOT_LIMIT;
        let greeted = Client::connect_until(self.ports.venti, over);
        if let Err(error) = greeted {
            ensure!(!self.is_interrupted(), "interrupted; the node was killed, which its disk survives");
            let state = if machine.is_running() { "runs" } else { "has ended" };
            return Err(error.context(format!("QEMU {state}; its console:\n{}", machine.console())));
        }
        println!(
            "granary: {:.2} s from QEMU's start to the first Rhello",
            machine.started.elapsed().as_secs_f64()
        );
        Ok(())
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
        self.say_where();
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

    fn say_where(&self) {
        let Ports { tls, p9auth, http, p9, .. } = self.ports;
        println!("granary: venti at {} (export venti={})", self.host(), self.host());
        match web::get(http, "/readyz") {
            Ok(answer) if answer.status == 200 => {
                println!("granary: status at http://127.0.0.1:{http}/")
            }
            // An image of an earlier version, or one that was told so.
            _ => println!("granary: no status by HTTP: the disk's granary.ini has no http=0.0.0.0/0"),
        }
        println!("granary: 9P at tcp!127.0.0.1!{p9}, if its granary.ini lets anybody in");
        println!("granary: venti by TLS 1.3 at tcp!127.0.0.1!{tls}, for those whom its thumbprints list");
        println!(
            "granary: venti behind p9any at tcp!127.0.0.1!{p9auth}, if its nvram and users= say for whom"
        );
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
