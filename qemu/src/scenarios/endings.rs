//! What only a machine can show of itself: its own tests, and how it ends when something is badly wrong.

use super::Bench;
use crate::machine::{Machine, Spec};
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};

/// By then a machine without disks has done what it was asked.
const LIMIT: Duration = Duration::from_secs(60);
/// What QEMU ends with when the kernel's own tests were all good.
const ALL_GOOD: i32 = 33;

fn spec(bench: &Bench, processors: u32, command_line: &str) -> Spec {
    let mut spec = Spec::new(&bench.programs.kernel, &bench.path("none"));
    spec.disks.clear();
    spec.processors = processors;
    spec.command_line = command_line.into();
    spec.memory = "128M".into();
    spec
}

fn machine(bench: &Bench, processors: u32, command_line: &str, debug_exit: bool) -> Result<Machine> {
    Spec { debug_exit, ..spec(bench, processors, command_line) }.start(bench.accelerator)
}

/// Interrupts, heap, timers, vector registers and the rest, tested by the kernel itself: alone, and with seven others that
/// must all work.
pub fn self_tests(bench: &Bench) -> Result<()> {
    for processors in [1, 8] {
        let mut machine = machine(bench, processors, "selftest debug-exit", true)?;
        let status = machine.wait_for_status(LIMIT)?;
        ensure!(status == Some(ALL_GOOD), "status {status:?}; console:\n{}", machine.console());
        let jobs = machine.console().lines().filter(|line| line.contains(" jobs in ")).count();
        ensure!(jobs + 1 == processors as usize, "{jobs} of {} others worked", processors - 1);
    }
    Ok(())
}

/// A panic says why and where, with registers and a backtrace; by default the machine then starts again.
pub fn panic_reboots(bench: &Bench) -> Result<()> {
    let mut machine = machine(bench, 1, "selftest=panic", false)?;
    // QEMU is told to end where the machine would start again.
    machine.wait_for_end(LIMIT)?;
    report_is_whole(
        &machine.console(),
        &["PANIC", "asked for by the command line", "selftest.rs", "rsp ", "rflags "],
    )
}

/// The same on another processor: the report names it, the first one stops, and the machine starts again all the same.
pub fn panic_elsewhere_reboots(bench: &Bench) -> Result<()> {
    let mut machine = machine(bench, 4, "selftest=panic-elsewhere", false)?;
    machine.wait_for_end(LIMIT)?;
    let console = machine.console();
    ensure!(console.matches("PANIC").count() == 1, "one report was to come:\n{console}");
    report_is_whole(&console, &["asked for by the command line, elsewhere", "on processor ", "rflags "])
}

/// A fault says what and where, with all registers and a backtrace; as set here, the machine then stands still.
pub fn fault_halts(bench: &Bench) -> Result<()> {
    let mut machine = machine(bench, 1, "selftest=fault panic=halt", false)?;
    machine.wait_for_console("backtrace", LIMIT)?;
    let report =
        ["EXCEPTION 14 (page fault)", "error code 0x0", "cr2 0000000000000010", "rax ", "r15 ", "rflags "];
    std::thread::sleep(Duration::from_secs(1));
    report_is_whole(&machine.console(), &report)?;
    ensure!(machine.is_running(), "the machine was to stand still");
    Ok(())
}

/// A machine that hangs is started again by its watchdog, of either kind; the next run tells what the last one has said. So it
/// does after a panic.
pub fn watchdogs_restart_and_the_log_is_kept(bench: &Bench) -> Result<()> {
    let hanging = "hanging, as the command line asks; watched";
    for (chipset, more, words, said) in [
        ("pc", &["-device", "i6300esb"][..], "selftest=hang", hanging),
        ("q35", &["-global", "ICH9-LPC.noreboot=off"], "selftest=hang", hanging),
        ("q35", &[], "selftest=panic", "PANIC"),
    ] {
        let mut spec = spec(bench, 1, words);
        spec.machine = chipset.into();
        spec.starts_again = true;
        spec.more.extend(more.iter().map(|word| (*word).to_owned()));
        let mut machine = spec.start(bench.accelerator)?;
        machine.wait_for_console("the run before this one ended without a clean stop", LIMIT)?;
        let deadline = Instant::now() + LIMIT;
        let is_told = |line: &str| line.contains("kernel::console: | ") && line.contains(said);
        while !machine.console().lines().any(is_told) {
            ensure!(Instant::now() < deadline, "nothing is told of the first run:\n{}", machine.console());
            std::thread::sleep(Duration::from_millis(20));
        }
        machine.cut_power()?;
    }
    Ok(())
}

fn report_is_whole(console: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(console.contains(part), "no {part:?} in the report:\n{console}");
    }
    let frames = console.split("backtrace").nth(1).context("no backtrace")?;
    let addresses = frames.lines().filter(|line| line.starts_with("  0x")).count();
    ensure!(addresses >= 3, "a backtrace of {addresses} addresses:\n{console}");
    Ok(())
}
