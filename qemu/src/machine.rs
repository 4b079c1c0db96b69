//! One QEMU machine: its arguments, its life, and the ways to end it. Knows QEMU; knows nothing of venti.

use crate::accelerator::Accelerator;
pub use crate::nic::Nic;
use crate::serial::Serial;
use crate::wire::WirePorts;
use crate::{qmp, screen};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How the machine finds its kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Firmware {
    /// QEMU loads the kernel itself (`-kernel`, PVH).
    Direct,
    /// SeaBIOS boots the disk.
    Bios,
    /// OVMF boots the disk.
    Uefi,
}

/// What the disk hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bus {
    /// virtio-blk.
    Virtio,
    /// virtio-scsi.
    Scsi,
    /// NVMe.
    Nvme,
    /// SATA.
    Ahci,
}

/// A TCP port of the guest, reachable from this machine's loopback.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    /// Port on 127.0.0.1.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

/// Everything that decides how a machine is started.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The kernel file, for [`Firmware::Direct`].
    pub kernel: PathBuf,
    /// Raw disk images, in order.
    pub disks: Vec<PathBuf>,
    /// What the disks hang on.
    pub bus: Bus,
    /// Bytes in a sector of the disks.
    pub sector_size: u32,
    /// What is wrong with the first disk.
    pub fault: Option<Fault>,
    /// Bytes, as QEMU writes them (`1G`).
    pub memory: String,
    /// Processors.
    pub processors: u32,
    /// How the kernel is found.
    pub firmware: Firmware,
    /// Ports to open on loopback.
    pub forwards: Vec<Forward>,
    /// Kernel command line; only [`Firmware::Direct`] can pass one.
    pub command_line: String,
    /// Whether QEMU is kept from what the terminal sends to all programs in front of it, such as Ctrl-C. Whoever sets this
    /// has to end QEMU when it is interrupted itself.
    pub shielded: bool,
    /// Whether the guest can end QEMU with a status (isa-debug-exit).
    pub debug_exit: bool,
    /// Whether the machine starts again when it resets itself; otherwise QEMU ends.
    pub starts_again: bool,
    /// Further arguments.
    pub more: Vec<String>,
    /// QEMU machine type.
    pub machine: String,
    /// The network card.
    pub nic: Nic,
    /// What the network card hangs on.
    pub network: Network,
    /// What a second card of that kind hangs on, if there is one: a cable to this process.
    pub second_cable: Option<WirePorts>,
    /// Where the guest finds randomness.
    pub randomness: Randomness,
}

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The first write fails.
    OneWrite,
    /// The first flush fails.
    OneFlush,
    /// A sector of 512 bytes cannot be read.
    BadSector(u64),
    /// It takes its time.
    Slow {
        /// Requests a second that it does.
        requests: u32,
    },
}

/// What the network card hangs on.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// QEMU's own network: DHCP, a router, forwarded ports.
    Own,
    /// The same as clouds have it: 169.254.169.254 answers on port 80, from this port on loopback.
    Cloud {
        /// Who answers.
        metadata: u16,
    },
    /// Nobody is there.
    Silent,
    /// A cable to this process.
    Cable(WirePorts),
    /// Such a cable, for the machine of that number among others.
    Shared(WirePorts, u8),
    /// A tap of Linux, which is there already.
    Tap(&'static str),
}

/// Where the guest finds randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    /// From the processor and from a device.
    Both,
    /// From RDRAND and RDSEED alone.
    Processor,
    /// From a virtio-rng alone.
    Device,
    /// Nowhere.
    None,
}

impl Spec {
    /// A plain machine around one disk.
    pub fn new(kernel: &Path, disk: &Path) -> Spec {
        Spec {
            kernel: kernel.to_owned(),
            disks: vec![disk.to_owned()],
            bus: Bus::Virtio,
            sector_size: 512,
            fault: None,
            memory: "1G".into(),
            processors: 1,
            firmware: Firmware::Direct,
            forwards: Vec::new(),
            command_line: String::new(),
            shielded: false,
            debug_exit: false,
            starts_again: false,
            more: Vec::new(),
            machine: "q35".into(),
            nic: Nic::Virtio,
            network: Network::Own,
            second_cable: None,
            randomness: Randomness::Both,
        }
    }

    /// QEMU's arguments, but for the sockets that belong to one run.
    pub fn arguments(&self, accelerator: Accelerator) -> Result<Vec<String>> {
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
        let mut cpu = accelerator.cpu().to_owned();
        if matches!(self.randomness, Randomness::Device | Randomness::None) {
            cpu += ",rdrand=off,rdseed=off";
        }
        add(&["-machine", &self.machine, "-accel", accelerator.argument(), "-cpu", &cpu]);
        if !self.has_pci() {
            let fits = self.firmware == Firmware::Direct
                && matches!(self.bus, Bus::Virtio | Bus::Scsi)
                && self.nic == Nic::Virtio;
            if !fits {
                bail!("a microvm has virtio devices alone, and is started directly");
            }
            add(&["-global", "virtio-mmio.force-legacy=false"]);
        }
        add(&["-m", &self.memory, "-smp", &self.processors.to_string()]);
        add(&["-display", "none", "-monitor", "none"]);
        if !self.starts_again {
            add(&["-no-reboot"]);
        }
        match self.firmware {
            Firmware::Direct => {
                add(&["-kernel", path_text(&self.kernel)?]);
                if !self.command_line.is_empty() {
                    add(&["-append", &self.command_line]);
                }
            }
            _ if !self.command_line.is_empty() => {
                bail!("only --firmware direct passes a command line; use --set instead")
            }
            Firmware::Bios => {}
            // The file with its variables in it: they are forgotten when QEMU ends, so every start is a first one.
            Firmware::Uefi => add(&["-bios", path_text(&ovmf()?)?]),
        }
        if !self.nic.is_known() {
            bail!("{QEMU} has no network card {:?}: it takes QEMU 8.0 or newer", self.nic);
        }
        let disks = self.disk_arguments()?;
        add(&disks.iter().map(String::as_str).collect::<Vec<_>>());
        let mut card = format!("{},netdev=net0", self.nic.device(self.has_pci()));
        if let Network::Shared(_, number) = self.network {
            card += &format!(",mac=52:54:00:67:72:{number:02x}");
        }
        add(&["-netdev", &self.netdev(), "-device", &card]);
        if let Some(ports) = self.second_cable {
            let card = format!("{},netdev=net1", self.nic.device(self.has_pci()));
            add(&["-netdev", &cable("net1", ports), "-device", &card]);
        }
        if matches!(self.randomness, Randomness::Device | Randomness::Both) {
            add(&["-device", if self.has_pci() { "virtio-rng-pci" } else { "virtio-rng-device" }]);
        }
        add(&self.more.iter().map(String::as_str).collect::<Vec<_>>());
        if self.debug_exit {
            add(&["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
        }
        Ok(args)
    }

    /// Whether its devices are on PCI.
    fn has_pci(&self) -> bool {
        !self.machine.starts_with("microvm")
    }

    /// The disks and what they hang on.
    fn disk_arguments(&self) -> Result<Vec<String>> {
        let mut args = Vec::new();
        match self.bus {
            Bus::Scsi if self.has_pci() => args.extend(["-device".into(), "virtio-scsi-pci,id=scsi0".into()]),
            Bus::Scsi => args.extend(["-device".into(), "virtio-scsi-device,id=scsi0".into()]),
            // The machine q35 has one of its own.
            Bus::Ahci if self.machine != "q35" => args.extend(["-device".into(), "ahci,id=ide".into()]),
            Bus::Virtio | Bus::Nvme | Bus::Ahci => {}
        }
        for (index, disk) in self.disks.iter().enumerate() {
            // `cache=none` would need O_DIRECT; `writeback` honours the guest's flushes and outlives a killed QEMU only
            // for what reached the host, which is what a power cut leaves.
            let file = path_text(disk)?.replace(',', ",,");
            let drive = match self.fault.filter(|_| index == 0) {
                None => format!("file={file}"),
                Some(Fault::OneWrite) => failing(&file, &[("iotype", "write"), ("once", "on")]),
                Some(Fault::OneFlush) => failing(&file, &[("iotype", "flush"), ("once", "on")]),
                Some(Fault::BadSector(sector)) => {
                    failing(&file, &[("iotype", "read"), ("sector", &sector.to_string())])
                }
                Some(Fault::Slow { requests }) => format!("file={file},throttling.iops-total={requests}"),
            };
            let drive = format!("if=none,id=disk{index},format=raw,cache=writeback,{drive}");
            let device = match self.bus {
                Bus::Virtio if self.has_pci() => "virtio-blk-pci".to_owned(),
                Bus::Virtio => "virtio-blk-device".to_owned(),
                Bus::Nvme => "nvme".to_owned(),
                Bus::Scsi => format!("scsi-hd,bus=scsi0.0,scsi-id={index}"),
                Bus::Ahci => format!("ide-hd,bus=ide.{index}"),
            };
            let sector = match self.sector_size {
                512 => String::new(),
                size => format!(",logical_block_size={size},physical_block_size={size}"),
            };
            let boot = if self.firmware == Firmware::Direct { "" } else { &format!(",bootindex={index}") };
            let device =
                format!("{device},id=device{index},drive=disk{index},serial=granary{index}{sector}{boot}");
            args.extend(["-drive".into(), drive, "-device".into(), device]);
        }
        Ok(args)
    }

    fn netdev(&self) -> String {
        let forward =
            |forward: &Forward| format!(",hostfwd=tcp:127.0.0.1:{}-:{}", forward.host, forward.guest);
        let forwards = || self.forwards.iter().map(forward).collect::<String>();
        match self.network {
            Network::Own => "user,id=net0".to_owned() + &forwards(),
            // Where the service is, QEMU's own host must not be.
            Network::Cloud { metadata } => format!(
                "user,id=net0,net=169.254.169.0/24,guestfwd=tcp:169.254.169.254:80-tcp:127.0.0.1:{metadata}{}",
                forwards()
            ),
            Network::Tap(name) => format!("tap,id=net0,ifname={name},script=no,downscript=no"),
            Network::Silent => "hubport,hubid=0,id=net0".into(),
            Network::Cable(ports) | Network::Shared(ports, _) => cable("net0", ports),
        }
    }

    /// Starts the machine.
    pub fn start(&self, accelerator: Accelerator) -> Result<Machine> {
        let sockets = tempfile::Builder::new().prefix("granary-qemu").tempdir()?;
        let qmp_path = sockets.path().join("qmp");
        let mut command = Command::new(QEMU);
        command.args(self.arguments(accelerator)?);
        command
            .args(["-serial", "stdio", "-qmp"])
            .arg(format!("unix:{},server=on,wait=off", path_text(&qmp_path)?));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.shielded {
            command.process_group(0);
        }
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {QEMU}"))?;
        let serial = Serial::capture(child.stdout.take(), child.stderr.take());
        Ok(Machine { child, serial, qmp_path, _sockets: sockets, started })
    }
}

/// A cable to this process.
fn cable(name: &str, WirePorts { here, there }: WirePorts) -> String {
    format!("socket,id={name},udp=127.0.0.1:{here},localaddr=127.0.0.1:{there}")
}

/// Options of a disk of which the requests that a rule names fail with an I/O error.
fn failing(file: &str, rule: &[(&str, &str)]) -> String {
    let rule = [("event", "none"), ("errno", "5")].iter().chain(rule);
    let rule: String = rule.map(|(key, value)| format!(",file.inject-error.0.{key}={value}")).collect();
    format!("file.driver=blkdebug,file.image.driver=file,file.image.filename={file}{rule}")
}

/// UEFI firmware for virtual machines, where distributions put it.
fn ovmf() -> Result<PathBuf> {
    let found = OVMF.iter().map(PathBuf::from).find(|file| file.exists());
    found.with_context(|| format!("UEFI firmware is not installed ({}): install the package ovmf", OVMF[0]))
}

const OVMF: [&str; 3] =
    ["/usr/share/ovmf/OVMF.fd", "/usr/share/edk2/ovmf/OVMF.fd", "/usr/share/edk2/x64/OVMF.4m.fd"];

/// The program that is started.
pub const QEMU: &str = "qemu-system-x86_64";

/// The command line that a person would type for these arguments.
pub fn printable(arguments: &[String]) -> String {
    let mut line = QEMU.to_owned();
    for argument in arguments {
        line.push(' ');
        if argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_=,.:/!+@%".contains(c)) {
            line.push_str(argument);
        } else {
            line.push_str(&format!("'{}'", argument.replace('\'', r"'\''")));
        }
    }
    line + " -serial stdio"
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8, and QEMU's options must be", path.display()))
}

/// A running machine. Dropping it pulls the plug.
pub struct Machine {
    child: Child,
    serial: Serial,
    qmp_path: PathBuf,
    _sockets: TempDir,
    /// When QEMU was started.
    pub started: Instant,
}

impl Machine {
    /// What the guest has written on its serial line so far.
    pub fn console(&self) -> String {
        self.serial.text()
    }

    /// Shows every further line of the console on this process' standard output.
    pub fn echo_console(&self) {
        self.serial.echo();
    }

    /// QEMU's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether QEMU still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `text` stands on the console.
    pub fn wait_for_console(&mut self, text: &str, limit: Duration) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !self.console().contains(text) {
            if !self.is_running() {
                bail!("QEMU ended before the console showed {text:?}:\n{}", self.console());
            }
            if Instant::now() > deadline {
                bail!("no {text:?} on the console within {limit:?}:\n{}", self.console());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Ends the machine as a power cut does: at once, wherever it is (SIGKILL).
    pub fn cut_power(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Pulls the network cable, or puts it in again.
    pub fn set_link(&self, up: bool) -> Result<()> {
        self.set_link_of("net0", up)
    }

    /// The same of one cable among several.
    pub fn set_link_of(&self, name: &str, up: bool) -> Result<()> {
        qmp::execute(&self.qmp_path, "set_link", &json!({ "name": name, "up": up }))
    }

    /// What stands on the machine's screen.
    pub fn screen_text(&self, folder: &Path) -> Result<Vec<String>> {
        let file = folder.join("screen.ppm");
        qmp::execute(&self.qmp_path, "screendump", &json!({ "filename": path_text(&file)? }))?;
        screen::text(&std::fs::read(file)?)
    }

    /// Presses the power button and waits for the machine to switch itself off.
    pub fn press_power_button(&mut self, limit: Duration) -> Result<()> {
        qmp::execute(&self.qmp_path, "system_powerdown", &json!({}))?;
        self.wait_for_end(limit).context("the node did not stop by itself after the power button")
    }

    /// Pulls out the disk of that number, which its bus must allow while the machine runs.
    pub fn pull_disk(&self, index: usize) -> Result<()> {
        qmp::execute(&self.qmp_path, "device_del", &json!({ "id": format!("device{index}") }))
    }

    /// Waits until QEMU has ended by itself, with status 0.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<()> {
        let status = self.wait_for_status(limit)?;
        if status != Some(0) {
            bail!("QEMU ended with status {status:?}:\n{}", self.console());
        }
        Ok(())
    }

    /// Waits until QEMU has ended by itself; gives its exit status, `None` when a signal ended it.
    pub fn wait_for_status(&mut self, limit: Duration) -> Result<Option<i32>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                bail!("QEMU still runs after {limit:?}:\n{}", self.console());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processor time that QEMU has used so far, from the host's accounting (Linux: /proc).
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let after_name = stat.rsplit_once(')').context("unreadable process status")?.1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks =
            |index: usize| -> Result<u64> { Ok(fields.get(index).context("short process status")?.parse()?) };
        // Fields 14 and 15 of proc(5), in clock ticks of 1/100 s on every Linux.
        Ok(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The machine may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
