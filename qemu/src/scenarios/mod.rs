//! The scenarios: each boots real machines and holds the node to one promise.

mod bad_input;
mod boots;
mod clients;
mod cloud;
mod cloud_network;
mod colony;
mod disks;
mod endings;
mod first_disk;
mod flood;
mod grown_disk;
mod healing;
mod hostile;
mod http;
mod idle;
mod matrix;
mod memory;
mod names;
mod network;
mod nine_front;
mod power_cuts;
mod run_command;
mod secured;
mod tap;
mod upgrade;
mod watched;

use crate::accelerator::Accelerator;
use crate::client::Client;
use crate::machine::{Firmware, Forward, Machine, Nic, Spec};
use crate::ports;
use crate::programs::Programs;
use anyhow::{Context, Result, bail};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a boot may take, however slow the machine.
pub const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// Runs the scenarios.
///
/// Examples: ./qemu/test --only power --rounds 50, ./qemu/test --firmware bios
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct TestArgs {
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Power cuts in the power-cut scenario
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: u32,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How machines boot where a scenario is not about that
    #[arg(long, value_enum, default_value_t = Firmware::Direct)]
    firmware: Firmware,
    /// Scenarios at once; as many as there are processors, but two at most, unless given
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Instead of the scenarios: one image on every machine, firmware × bus × network card and more
    #[arg(long)]
    matrix: bool,
    /// The half of a scenario that is in a network of its own
    #[arg(long, hide = true)]
    inside: bool,
    /// Print the scenarios' names and stop
    #[arg(long)]
    list: bool,
}

/// What every scenario has at hand.
pub struct Bench<'a> {
    programs: &'a Programs,
    accelerator: Accelerator,
    firmware: Firmware,
    rounds: u32,
    seed: u64,
    folder: TempDir,
}

type Scenario = fn(&Bench) -> Result<()>;

/// The scenario that wants a card which not every QEMU has.
const IGB: &str = "nic-intel-82576-and-a-cable-pulled";

/// The scenario for which users must be allowed to make networks of their own.
const TAP: &str = "tap-carries-frames-of-several-segments";

const SCENARIOS: &[(&str, Scenario)] = &[
    ("direct-boot-archives-survive-a-power-cut", boots::direct),
    ("bios-boot-archives-survive-a-power-cut", boots::bios),
    ("bios-boot-of-the-pc-machine-with-64-mib", boots::bios_of_a_small_pc),
    ("uefi-boot-archives-survive-a-power-cut-and-a-bios", boots::uefi_then_bios),
    ("uefi-boot-of-the-pc-machine", boots::uefi_of_a_pc),
    ("uefi-boot-without-a-kernel-is-said", boots::uefi_without_a_kernel),
    ("9fronts-loader-starts-the-kernel", nine_front::granary_kernel),
    ("uefi-screen-shows-the-log", boots::log_on_the_screen),
    ("nic-intel-82574-and-a-cable-pulled", boots::intel_card),
    (IGB, boots::newer_intel_card),
    ("nic-intel-82540em-and-a-cable-pulled", boots::older_intel_card),
    ("nic-virtio-and-a-cable-pulled", boots::virtio_card),
    (TAP, tap::segments),
    ("pc-machine-with-four-processors", boots::pc_with_four_processors),
    ("microvm-archives-survive-a-power-cut", boots::microvm),
    ("microvm-without-acpi-or-clock", boots::bare_microvm),
    ("memory-64-mib", boots::little_memory),
    ("memory-above-4-gib", boots::much_memory),
    ("nvme-archives-survive-a-power-cut", boots::nvme),
    ("nvme-bios-boot", boots::nvme_by_bios),
    ("scsi-archives-survive-a-power-cut", boots::scsi),
    ("scsi-bios-boot", boots::scsi_by_bios),
    ("ahci-archives-survive-a-power-cut", boots::ahci),
    ("ahci-bios-boot", boots::ahci_by_bios),
    ("sectors-of-4096-bytes-hold-the-same-image", disks::long_sectors),
    ("disks-in-another-order-are-the-same-store", disks::in_another_order),
    ("disk-errors-are-tried-again-or-told", disks::errors),
    ("bad-sector-costs-one-block", disks::bad_sector),
    ("slow-disk-is-waited-for", disks::slow),
    ("disks-tell-how-they-are", disks::health),
    ("pulled-disk-is-said-and-hangs-nobody", disks::pulled),
    ("power-cuts-under-load-lose-nothing-synced", power_cuts::under_load),
    ("names-are-given-proved-and-shown", names::given_proved_and_shown),
    ("names-outlive-power-cuts", names::outlive_power_cuts),
    ("two-nodes-replicate", colony::replicate),
    ("colony-heals-whatever-happens-to-it", healing::colony),
    ("watched-and-steered-while-it-runs", watched::steered),
    ("upgrade-and-rollback-by-uefi", upgrade::there_and_back),
    ("upgrade-to-bad-kernels-falls-back-by-bios", upgrade::bad_kernels),
    ("secured-ports-serve-who-proves-it", secured::ports),
    ("run-of-two-nodes-restores-without-the-first", run_command::two_nodes),
    ("sixteen-clients-at-once", clients::sixteen_at_once),
    ("idle-machine-halts", idle::halts),
    ("interrupt-ends-run-cleanly", run_command::interrupted),
    ("run-refuses-what-it-has-not", run_command::refused),
    ("hostile-frames", hostile::frames),
    ("hostile-slow-peers", hostile::slow_peers),
    ("hostile-ten-thousand-connections", flood::ten_thousand_connections),
    ("static-addresses-and-ipv6", network::both_families),
    ("dhcp-says-the-largest-packet", network::largest_packet),
    ("two-networks-and-a-cable-pulled", network::two_networks),
    ("self-tests-of-the-machine", endings::self_tests),
    ("panic-is-reported-and-reboots", endings::panic_reboots),
    ("panic-elsewhere-is-reported-and-reboots", endings::panic_elsewhere_reboots),
    ("hangs-and-panics-restart-and-are-told", endings::watchdogs_restart_and_the_log_is_kept),
    ("fault-is-reported-and-halts", endings::fault_halts),
    ("http-shows-the-node-and-changes-nothing", http::shows_the_node),
    ("http-hostile-bytes-and-slow-clients", http::hostile),
    ("no-disk-is-said", bad_input::no_disk),
    ("wrong-setting-is-named-with-its-line", bad_input::wrong_setting),
    ("unknown-partition-is-said", bad_input::unknown_partition),
    ("blank-disk-is-added-when-settings-say-so", bad_input::blank_disk_is_added),
    ("blank-first-disk-becomes-a-node-whatever-happens", first_disk::becomes_a_node),
    ("grown-disk-is-used-to-its-end-whatever-happens", grown_disk::is_used_to_its_end),
    ("cloud-settings-are-written-once-or-refused", cloud::settings_come_from_outside),
    ("cloud-config-drive-is-read", cloud::config_drive),
    ("cloud-settings-from-a-server-that-smbios-names", cloud_network::nocloud_net),
    ("cloud-settings-from-a-metadata-service", cloud_network::metadata_service),
    ("shrunk-disk-is-said", bad_input::shrunk_disk),
    ("no-dhcp-answer-is-said", bad_input::no_dhcp),
    ("no-randomness-is-refused", bad_input::no_randomness),
];

const INSIDE: &[(&str, Scenario)] = &[("inside", tap::inside)];

const MATRIX: &[(&str, Scenario)] = &[("one-image-on-every-machine", matrix::all)];

/// Runs the command; ends with a line that counts.
pub fn run(args: &TestArgs, programs: &Programs) -> Result<()> {
    let scenarios = match args {
        TestArgs { inside: true, .. } => INSIDE,
        TestArgs { matrix: true, .. } => MATRIX,
        _ => SCENARIOS,
    };
    let chosen: Vec<_> = scenarios
        .iter()
        .filter(|(name, _)| args.only.as_ref().is_none_or(|text| name.contains(text)))
        .filter(|(name, _)| *name != IGB || Nic::Igb.is_known())
        .filter(|(name, _)| *name != TAP || tap::can_be_made())
        .collect();
    if args.list {
        chosen.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(());
    }
    let accelerator = Accelerator::probe(&programs.kernel);
    println!("scenarios run under {}", accelerator.argument());
    // Most of a scenario's time is waiting. More at once would make the waits long that the promises are about.
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let jobs = args.jobs.unwrap_or(processors.min(2));
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(chosen) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !passes(args, programs, accelerator, chosen) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    println!("scenarios: {} passed, {failed} failed", chosen.len() - failed);
    if failed > 0 {
        bail!("{failed} scenarios failed");
    }
    if chosen.is_empty() {
        bail!("no scenario has that in its name");
    }
    Ok(())
}

/// Runs one scenario and says how it went.
fn passes(
    args: &TestArgs,
    programs: &Programs,
    accelerator: Accelerator,
    (name, scenario): &(&str, Scenario),
) -> bool {
    let began = Instant::now();
    let result = tempfile::Builder::new().prefix("granary-scenario").tempdir().map_err(Into::into);
    let result = result.and_then(|folder| {
        let TestArgs { firmware, rounds, seed, .. } = *args;
        scenario(&Bench { programs, accelerator, firmware, rounds, seed, folder })
    });
    let seconds = began.elapsed().as_secs_f64();
    match &result {
        Ok(()) => println!("PASS {name} ({seconds:.1} s)"),
        Err(error) => println!("FAIL {name} ({seconds:.1} s): {error:#}"),
    }
    result.is_ok()
}

impl Bench<'_> {
    /// A fresh image that opens venti to the forwarded port, with more settings.
    fn image(&self, size: &str, settings: &[&str]) -> Result<PathBuf> {
        let file = self.folder.path().join("disk.img");
        let mut lines = vec!["venti=0.0.0.0/0,::/0".to_owned()];
        lines.extend(settings.iter().map(|line| (*line).to_owned()));
        // Small arenas, so that tests fill and seal some.
        self.programs.create_image(&file, size, &lines, &["--arena-size", "64M"])?;
        Ok(file)
    }

    /// A path in the scenario's own folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A machine around this disk, with venti's port open on loopback.
    fn node(&self, disk: &Path) -> Result<Node<'_>> {
        let port = ports::choose(0)?;
        let mut spec = Spec::new(&self.programs.kernel, disk);
        spec.firmware = self.firmware;
        spec.forwards.push(Forward { host: port, guest: 17034 });
        Ok(Node { spec, port, bench: self })
    }
}

/// A machine to be booted, and where its venti will answer.
pub struct Node<'a> {
    spec: Spec,
    port: u16,
    bench: &'a Bench<'a>,
}

impl Node<'_> {
    /// Starts the machine without waiting for anything.
    fn start(&self) -> Result<Machine> {
        self.spec.start(self.bench.accelerator)
    }

    /// Starts the machine and waits until venti answers.
    fn boot(&self) -> Result<Machine> {
        let mut machine = self.start()?;
        Client::connect_until(self.port, || !machine.is_running() || machine.started.elapsed() > BOOT_LIMIT)
            .map_err(|error| error.context(format!("console:\n{}", machine.console())))?;
        Ok(machine)
    }

    /// A new connection.
    fn client(&self) -> Result<Client> {
        Client::connect(self.port, Duration::from_secs(30)).context("the node does not answer")
    }

    /// What `granary` and `$venti` call this node.
    fn host(&self) -> String {
        format!("tcp!127.0.0.1!{}", self.port)
    }

    /// A clean stop.
    fn stop(&self, mut machine: Machine) -> Result<()> {
        machine.press_power_button(crate::run::STOP_LIMIT)
    }
}
