//! Power: off, reset, and the button.
//!
//! Knows the fixed hardware's registers (ACPI 6.5, 4.8.3). Must not know what has to be saved first.

use super::tables::{Fixed, Register};
use crate::arch::{cpu, port};
use crate::executor::timers::sleep_until;
use crate::memory::map_mmio;
use crate::{console, panic, time, watchdog};
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use spin::Once;

const BUTTON: u16 = 1 << 8;
const ACPI_IS_ON: u16 = 1;
const SLEEP_ENABLE: u16 = 1 << 13;
/// The same where the control register has 8 bits (ACPI 6.5, 4.8.3.7).
const SLEEP_ENABLE_REDUCED: u8 = 1 << 5;
/// The power button among QEMU's generic events.
const EVENT_BUTTON: u32 = 1 << 1;
/// How often the button is looked at. (Its interrupt would need the I/O APIC and firmware's routing; a look a second does not.)
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long firmware may take to hand ACPI over.
const ENABLE_TIME_MAX: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(10);

static FIXED: Once<Fixed> = Once::new();
/// A reset is how this machine ends: a microVM without ACPI.
static RESET_ENDS: AtomicBool = AtomicBool::new(false);

/// Takes the fixed hardware over from firmware, and has the button report.
pub(super) fn init(fixed: &Fixed) {
    FIXED.call_once(|| *fixed);
    if let (Some(smi), [Some(control), _]) = (fixed.smi_command, fixed.control)
        && fixed.enable != 0
        && read(control) & ACPI_IS_ON == 0
    {
        write8(smi, fixed.enable);
    }
    if let Some(event) = fixed.event {
        write(event, BUTTON);
        write(enable_register(fixed, event), BUTTON);
    }
}

/// Says that a reset is how this machine ends.
pub(crate) fn end_by_reset() {
    RESET_ENDS.store(true, Ordering::Relaxed);
}

/// Waits, once the clock runs, until firmware has handed ACPI over.
pub(crate) fn finish_init() {
    let Some([Some(control), _]) = FIXED.get().map(|fixed| fixed.control) else { return };
    let end = time::now().plus(ENABLE_TIME_MAX);
    while read(control) & ACPI_IS_ON == 0 {
        if time::now() >= end {
            log::warn!("ACPI: firmware does not hand it over; the power button may not work");
            return;
        }
        core::hint::spin_loop();
    }
}

/// Returns when the power button has been pressed; never on a machine that has none which we know of.
pub async fn power_button() {
    if let Some(events) = FIXED.get().and_then(|fixed| map_mmio(fixed.events?, 4).ok()) {
        while events.read32(0) & EVENT_BUTTON == 0 {
            sleep_until(time::now().plus(LOOK_EVERY)).await;
        }
        return;
    }
    let Some((fixed, event)) = FIXED.get().and_then(|fixed| Some((fixed, fixed.event?))) else {
        return core::future::pending().await;
    };
    // Switching ACPI on may have cleared it.
    write(enable_register(fixed, event), BUTTON);
    while read(event) & BUTTON == 0 {
        sleep_until(time::now().plus(LOOK_EVERY)).await;
    }
    write(event, BUTTON);
}

/// Switches the machine off; where that fails, stops it and says so.
pub fn power_off() -> ! {
    log::info!("power off");
    console::end_cleanly();
    watchdog::disarm();
    console::flush();
    panic::stop_all_others();
    if let Some((fixed, off)) = FIXED.get().and_then(|fixed| Some((fixed, fixed.off?))) {
        for (control, sleep_type) in fixed.control.into_iter().zip(off) {
            if let Some(control) = control {
                write(control, read(control) & !0x3c00 | u16::from(sleep_type) << 10 | SLEEP_ENABLE);
            }
        }
        if let Some(Register::Memory(control)) = fixed.sleep
            && let Ok(window) = map_mmio(control, 1)
        {
            window.write8(0, off[0] << 2 | SLEEP_ENABLE_REDUCED);
        }
        time::busy_wait(PAUSE);
    }
    if RESET_ENDS.load(Ordering::Relaxed) {
        reset();
    }
    log::warn!("this machine cannot switch itself off; it is safe to do so now");
    console::flush();
    cpu::stop()
}

/// Starts the machine again, after a clean stop.
pub fn restart() -> ! {
    log::info!("restart");
    console::end_cleanly();
    watchdog::disarm();
    console::flush();
    reset()
}

/// Starts the machine again: by ACPI's register, the chip set's, the keyboard controller, at last by a triple fault.
pub fn reset() -> ! {
    panic::stop_all_others();
    let register = FIXED.get().and_then(|fixed| fixed.reset);
    match register.map(|reset| (reset.register, reset.value)) {
        Some((Register::Port(number), value)) => write8(number, value),
        Some((Register::Memory(address), value)) => {
            if let Ok(window) = map_mmio(address, 1) {
                window.write8(0, value);
            }
        }
        None => {}
    }
    time::busy_wait(PAUSE);
    for (number, value) in [(0xcf9, 0x02), (0xcf9, 0x06), (0x64, 0xfe)] {
        write8(number, value);
        time::busy_wait(PAUSE);
    }
    // SAFETY: nothing runs after this: without a table of gates the breakpoint cannot be delivered, nor the fault about it.
    unsafe {
        core::arch::asm!("push 0", "push 0", "lidt [rsp]", "int3", options(noreturn));
    }
}

/// The enable bits lie in the second half of the event block.
fn enable_register(fixed: &Fixed, event: u16) -> u16 {
    event.wrapping_add(u16::from(fixed.event_len / 2))
}

fn read(number: u16) -> u16 {
    // SAFETY: the FADT names this port as fixed hardware, which is this module's alone.
    unsafe { port::read(number) }
}

fn write(number: u16, value: u16) {
    // SAFETY: as for reading; none of it touches memory.
    unsafe { port::write(number, value) }
}

fn write8(number: u16, value: u8) {
    // SAFETY: as for reading; none of it touches memory.
    unsafe { port::write(number, value) }
}
