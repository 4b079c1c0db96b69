//! How fast the counters run.
//!
//! Knows who can tell, best first: CPUID, the hypervisor, the ACPI timer, the PIT. Each may be missing, so every loop is
//! bounded.

use super::Rate;
use crate::acpi::Acpi;
use crate::arch::{apic, cpu, port};
use core::time::Duration;

const PM_TIMER_HERTZ: u64 = 3_579_545;
const PIT_HERTZ: u64 = 1_193_182;
/// How long is measured: a hundredth of a second.
const MEASUREMENTS_PER_SECOND: u64 = 100;
/// Reads of a port before a timer counts as missing: some seconds at worst.
const PORT_READS_MAX: u32 = 2_000_000;
/// What a processor of our days would do, if nobody can tell.
const GUESS: Rate = Rate { hertz: 2_000_000_000 };

/// The time stamp counter's rate and who told it.
pub(super) fn time_stamp_rate(acpi: Option<&Acpi>) -> (Rate, &'static str) {
    let pm_timer = acpi.and_then(|acpi| acpi.fixed.pm_timer);
    let sources: [(&str, &dyn Fn() -> Option<u64>); 5] = [
        ("CPUID", &by_crystal),
        ("the hypervisor", &by_hypervisor),
        ("the ACPI timer", &|| median(|| by_pm_timer(pm_timer?))),
        ("the PIT", &|| median(by_pit)),
        ("CPUID's nominal frequency", &by_nominal_frequency),
    ];
    for (name, source) in sources {
        if let Some(hertz) = source().filter(|hertz| (100_000_000..20_000_000_000).contains(hertz)) {
            return (Rate { hertz }, name);
        }
    }
    log::error!("nothing tells how fast the time stamp counter runs; all times are guesses");
    (GUESS, "a guess")
}

/// The APIC timer's rate, measured against the time stamp counter.
pub(super) fn timer_rate(time_stamp: Rate) -> Rate {
    let span = time_stamp.counts(Duration::from_millis(10));
    let mut passed = 0;
    let ticks = apic::measure_timer(|| {
        let start = cpu::time_stamp();
        while passed < span {
            passed = cpu::time_stamp().wrapping_sub(start);
        }
    });
    Rate { hertz: (u64::from(ticks) * time_stamp.hertz / passed.max(1)).max(1) }
}

/// CPUID leaf 0x15: crystal and ratio (Intel SDM vol. 3B, 19.7.3).
fn by_crystal() -> Option<u64> {
    let leaf = cpu::cpuid(0x15, 0);
    let (denominator, numerator, crystal) = (u64::from(leaf.eax), u64::from(leaf.ebx), u64::from(leaf.ecx));
    (denominator > 0 && crystal > 0).then(|| crystal * numerator / denominator)
}

/// The leaf 0x40000010, in kHz; only if the hypervisor says that it has it.
fn by_hypervisor() -> Option<u64> {
    cpu::hypervisor()?;
    let kilohertz = cpu::cpuid(0x4000_0010, 0).eax;
    (kilohertz > 0).then(|| u64::from(kilohertz) * 1000)
}

fn by_nominal_frequency() -> Option<u64> {
    let megahertz = cpu::cpuid(0x16, 0).eax & 0xffff;
    (megahertz > 0).then(|| u64::from(megahertz) * 1_000_000)
}

/// The middle of three: one may be spoilt by a host that was busy elsewhere.
fn median(measure: impl Fn() -> Option<u64>) -> Option<u64> {
    let mut figures = [measure()?, measure()?, measure()?];
    figures.sort_unstable();
    Some(figures[1])
}

/// A 24-bit counter at 3.58 MHz (ACPI 6.5, 4.8.2.1).
fn by_pm_timer(number: u16) -> Option<u64> {
    // SAFETY: the FADT says that this is the timer; reading it changes nothing.
    let read = || unsafe { port::read::<u32>(number) } & 0xff_ffff;
    let span = (PM_TIMER_HERTZ / MEASUREMENTS_PER_SECOND) as u32;
    let (start, start_stamp) = (read(), cpu::time_stamp());
    for _ in 0..PORT_READS_MAX {
        let passed = read().wrapping_sub(start) & 0xff_ffff;
        if passed >= span {
            let stamps = cpu::time_stamp().wrapping_sub(start_stamp);
            return Some((u128::from(stamps) * u128::from(PM_TIMER_HERTZ) / u128::from(passed)) as u64);
        }
    }
    None
}

/// The PIT's channel 0 counts down from the top. (Channel 2 would need port 0x61, which not every machine with a PIT has.)
fn by_pit() -> Option<u64> {
    const CHANNEL_0: u16 = 0x40;
    const CONTROL: u16 = 0x43;
    const TOP: u16 = u16::MAX;
    // SAFETY: the PIT is this module's alone, and touches no memory; its interrupt is masked.
    let write = |number: u16, value: u8| unsafe { port::write(number, value) };
    // SAFETY: as above.
    let read = |number: u16| unsafe { port::read::<u8>(number) };
    let span = (PIT_HERTZ / MEASUREMENTS_PER_SECOND) as u16;
    // Channel 0, both bytes, mode 0: down from the top, once.
    for (number, value) in [(CONTROL, 0b0011_0000), (CHANNEL_0, 0xff), (CHANNEL_0, 0xff)] {
        write(number, value);
    }
    let start = cpu::time_stamp();
    for reads in 0..PORT_READS_MAX {
        write(CONTROL, 0);
        let passed = TOP - u16::from_le_bytes([read(CHANNEL_0), read(CHANNEL_0)]);
        if passed >= span {
            let stamps = cpu::time_stamp().wrapping_sub(start);
            return Some((u128::from(stamps) * u128::from(PIT_HERTZ) / u128::from(passed)) as u64);
        }
        // Where there is no PIT, its ports read as all ones for ever.
        if passed == 0 && reads > 1000 {
            return None;
        }
    }
    None
}
