//! The TCO timer of Intel's ICH9 and ICH10. It counts twice: the first time for an interrupt by firmware, the second time for a reset.
//!
//! Knows the registers (Intel I/O Controller Hub 9 datasheet, 13.9 and 10.1.75), and where the chip set says that they are. Must not
//! know who winds it up.

use super::Timer;
use crate::arch::port;
use crate::memory::map_mmio;
use crate::memory::mmio::Registers;
use crate::pci::Function;
use virtio_drivers::transport::pci::bus::ConfigurationAccess;

const VENDOR: u16 = 0x8086;
/// The LPC bridges of the families whose registers lie as told here.
const DEVICES: [core::ops::RangeInclusive<u16>; 2] = [0x2910..=0x2919, 0x3a14..=0x3a1a];

/// In configuration space of the bridge: where the power management's ports begin, and the chip set's window.
const POWER_BASE: u8 = 0x40;
const POWER_MASK: u32 = 0xff80;
const WINDOW_BASE: u8 = 0xf0;
const WINDOW_MASK: u32 = 0xffff_c000;
const ENABLED: u32 = 1;
/// In the chip set's window: general control and status.
const GENERAL_CONTROL: u64 = 0x3410;
const NO_REBOOT: u32 = 1 << 5;

/// Ports from the power management's on.
const TCO: u16 = 0x60;
const RELOAD: u16 = 0x00;
const STATUS_1: u16 = 0x04;
const STATUS_2: u16 = 0x06;
const CONTROL_1: u16 = 0x08;
const TIMER: u16 = 0x12;
const TIMED_OUT: u16 = 1 << 3;
const TIMED_OUT_TWICE: u16 = 1 << 1;
const HALT: u16 = 1 << 11;
/// Bits of the timer's start, of which it takes at least 4.
const TICKS: core::ops::RangeInclusive<u32> = 4..=0x3ff;

/// Whether this is the bridge of such a chip set.
pub(super) fn is_ours(function: &Function) -> bool {
    let ours = DEVICES.iter().any(|range| range.contains(&function.info.device_id));
    function.info.vendor_id == VENDOR && ours
}

/// The ways to its registers.
pub(super) trait Access {
    fn read(&mut self, register: u16) -> u16;
    fn write(&mut self, register: u16, value: u16);
    /// Whether running out twice resets the machine, now that it was asked for.
    fn allow_reset(&mut self) -> bool;
}

/// The device.
pub(super) struct Device {
    base: u16,
    general_control: Registers,
}

impl Device {
    pub(super) fn open(function: &Function) -> Option<Device> {
        let word = |register| function.configuration.read_word(function.place, register);
        let (power, window) = (word(POWER_BASE) & POWER_MASK, word(WINDOW_BASE));
        if power == 0 || window & ENABLED == 0 {
            return None;
        }
        let general_control = map_mmio(u64::from(window & WINDOW_MASK) + GENERAL_CONTROL, 4).ok()?;
        let mut device = Device { base: power as u16 + TCO, general_control };
        // A strap on the board can forbid it.
        device.allow_reset().then_some(device)
    }
}

impl Access for Device {
    fn read(&mut self, register: u16) -> u16 {
        // SAFETY: the bridge says that the timer's registers are there, and nobody else drives it.
        unsafe { port::read(self.base + register) }
    }

    fn write(&mut self, register: u16, value: u16) {
        // SAFETY: as for reading; it touches no memory.
        unsafe { port::write(self.base + register, value) }
    }

    fn allow_reset(&mut self) -> bool {
        let control = self.general_control.read32(0);
        self.general_control.write32(0, control & !NO_REBOOT);
        self.general_control.read32(0) & NO_REBOOT == 0
    }
}

/// The timer.
pub(super) struct Tco<A> {
    access: A,
}

impl<A: Access> Tco<A> {
    pub(super) fn new(access: A) -> Tco<A> {
        Tco { access }
    }

    fn halt(&mut self, halt: bool) {
        let control = self.access.read(CONTROL_1) & !HALT;
        self.access.write(CONTROL_1, if halt { control | HALT } else { control });
    }
}

impl<A: Access> Timer for Tco<A> {
    fn start(&mut self, seconds: u16) {
        self.halt(true);
        self.access.allow_reset();
        // A tick is 0.6 s, and it counts twice.
        let ticks = (u32::from(seconds) * 10 / 6 / 2).clamp(*TICKS.start(), *TICKS.end());
        let other = self.access.read(TIMER) & !(*TICKS.end() as u16);
        self.access.write(TIMER, other | ticks as u16);
        self.access.write(STATUS_1, TIMED_OUT);
        self.access.write(STATUS_2, TIMED_OUT_TWICE);
        self.wind();
        self.halt(false);
    }

    fn wind(&mut self) {
        self.access.write(RELOAD, 1);
        // A first count that has ended is forgotten, too.
        self.access.write(STATUS_1, TIMED_OUT);
    }

    fn stop(&mut self) {
        self.halt(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A timer that counts in tenths of a second; its first end only sets a mark.
    #[derive(Default)]
    struct Fake {
        control: u16,
        timer: u16,
        left: u32,
        ended: bool,
        is_allowed: bool,
    }

    impl Fake {
        /// Lets seconds pass; `true`: the machine is reset.
        fn pass(&mut self, seconds: u32) -> bool {
            for _ in 0..seconds * 10 {
                if self.control & HALT != 0 || self.timer == 0 {
                    continue;
                }
                self.left = self.left.saturating_sub(1);
                if self.left == 0 {
                    if self.ended {
                        return self.is_allowed;
                    }
                    self.ended = true;
                    self.left = u32::from(self.timer) * 6;
                }
            }
            false
        }
    }

    impl Access for Fake {
        fn read(&mut self, register: u16) -> u16 {
            match register {
                CONTROL_1 => self.control,
                TIMER => self.timer,
                _ => panic!("register {register:#x}"),
            }
        }

        fn write(&mut self, register: u16, value: u16) {
            match register {
                RELOAD => self.left = u32::from(self.timer & 0x3ff) * 6,
                STATUS_1 => self.ended &= value & TIMED_OUT == 0,
                STATUS_2 => assert_eq!(value, TIMED_OUT_TWICE),
                CONTROL_1 => self.control = value,
                TIMER => self.timer = value,
                _ => panic!("register {register:#x}"),
            }
        }

        fn allow_reset(&mut self) -> bool {
            self.is_allowed = true;
            true
        }
    }

    #[test]
    fn it_runs_out_unless_it_is_wound_up_and_not_after_it_was_stopped() {
        let mut timer = Tco::new(Fake { control: 1 << 3, ..Fake::default() });
        timer.start(60);
        for _ in 0..5 {
            assert!(!timer.access.pass(59));
            timer.wind();
        }
        assert!(timer.access.pass(62));
        timer.stop();
        assert!(!timer.access.pass(1000));
        assert_eq!(timer.access.control & 1 << 3, 1 << 3, "other bits stay");
    }

    #[test]
    fn a_time_that_it_cannot_count_becomes_the_nearest() {
        for (seconds, ticks) in [(0, 4), (2, 4), (60, 50), (u16::MAX, 0x3ff)] {
            let mut timer = Tco::new(Fake::default());
            timer.start(seconds);
            assert_eq!(timer.access.timer, ticks, "{seconds}");
        }
    }
}
