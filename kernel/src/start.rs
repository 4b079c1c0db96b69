//! The order in which the machine comes up.
//!
//! Knows what needs what. Must not know how any of it works.

use crate::acpi::{self, Acpi};
use crate::arch::{cpu, descriptors};
use crate::boot_info::BootInfo;
use crate::command_line::CommandLine;
use crate::{
    console, devices, entropy, executor, interrupts, memory, node, panic, processors, selftest, smbios, time,
    virtio,
};
use alloc::string::String;
use log::LevelFilter;
use storage::cloud::smbios::System;

/// What is known of the machine once it is up.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The loader's words: see [`CommandLine`].
    pub command_line: String,
    /// Firmware's tables, if there are any.
    pub acpi: Option<Acpi>,
    /// What firmware calls it, if it says.
    pub system: Option<System>,
}

/// Brings the machine up and runs it for good.
///
/// Words on the command line that count here: `slot=a|b`, with which loaders say which kernel this is;
/// `log=error|warn|info|debug|trace`; `panic=reboot|halt` (reboot); `debug-exit` (QEMU's isa-debug-exit device is there);
/// `selftest` (see [`selftest`]); `virtio_mmio.device=` (see [`virtio::mmio`]).
pub fn start(boot_info: BootInfo) -> ! {
    let words = CommandLine::new(&boot_info.command_line);
    cpu::enable_vector_state();
    panic::set(panic::Settings { debug_exit: words.has("debug-exit"), image: boot_info.image });
    panic::set_reboot(words.value("panic") != Some("halt"));
    console::init(log_level(words));
    log::info!("Granary {}", env!("CARGO_PKG_VERSION"));
    descriptors::load();
    // SAFETY: nothing has used memory so far, and the loader's word on it is all that there is.
    if let Err(error) = unsafe { memory::init(&boot_info) } {
        panic!("cannot start: {error}");
    }
    if let Some(screen) = &boot_info.screen {
        console::show_on(screen);
    }
    console::keep();
    let status = memory::heap::status();
    log::info!("{} MiB of memory free of {}", status.free >> 20, status.total >> 20);
    let acpi = acpi::init(boot_info.rsdp);
    if let Err(error) = interrupts::init(acpi.as_ref()) {
        panic!("cannot start: the local APIC: {error}");
    }
    time::init(acpi.as_ref());
    acpi::power::finish_init();
    if acpi.is_none() && words.words().any(|word| word.starts_with(virtio::mmio::WORD)) {
        acpi::power::end_by_reset();
    }
    processors::start(acpi.as_ref().map_or(&[], |acpi| &acpi.processors));
    entropy::init();
    let system = smbios::read(boot_info.smbios);
    let machine = Machine { command_line: String::from(boot_info.command_line.as_str()), acpi, system };
    executor::spawn(run(machine));
    executor::run()
}

/// The first task.
async fn run(machine: Machine) {
    let words = CommandLine::new(&machine.command_line);
    if let Some(which) = selftest::asked_for(words) {
        selftest::run(which).await;
    }
    let devices = devices::start(machine.acpi.as_ref(), words).await;
    if words.value("selftest") == Some("disk") {
        selftest::finish(devices::check::disks(&devices.disks).await);
    }
    if words.value("selftest") == Some("hang") {
        selftest::hang();
    }
    match node::run(&machine, devices).await {
        node::End::Off => acpi::power::power_off(),
        node::End::Restart => acpi::power::restart(),
    }
}

/// Whether a word of the command line is one that counts here.
pub(crate) fn knows_word(word: &str) -> bool {
    word == "debug-exit"
        || word == "selftest"
        || ["selftest=", "slot=", virtio::mmio::WORD].iter().any(|start| word.starts_with(start))
}

fn log_level(words: CommandLine<'_>) -> LevelFilter {
    words.value("log").and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::Info)
}
