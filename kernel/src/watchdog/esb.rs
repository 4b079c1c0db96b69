//! Intel's 6300ESB watchdog. Two timers one after the other: at the end of the first it can interrupt, which is switched off here; at
//! the end of the second it resets the machine.
//!
//! Knows the registers (Intel 6300ESB I/O Controller Hub datasheet, chapter 16). Must not know who winds it up.

use super::Timer;
use crate::memory::mmio::Registers;
use crate::pci::Function;

const VENDOR: u16 = 0x8086;
const DEVICE: u16 = 0x25ab;

/// In configuration space.
const CONFIG: u8 = 0x60;
const LOCK: u8 = 0x68;
/// No interrupt at the end of the first timer.
const NO_INTERRUPT: u16 = 3;
const LOCK_ENABLE: u8 = 1 << 1;

/// In the window.
const TIMER_1: usize = 0x00;
const TIMER_2: usize = 0x04;
const RELOAD: usize = 0x0c;
const WINDOW_LEN: u32 = 0x10;
/// Written one after the other, they allow one write to a register.
const UNLOCK: [u16; 2] = [0x80, 0x86];
const RELOAD_TIMERS: u16 = 1 << 8;
/// It has run out before.
const TIMED_OUT: u16 = 1 << 9;
/// Its clock ticks about 1000 times a second, and half the time is each timer's.
const TICKS_SHIFT: u32 = 9;

/// Whether this is one.
pub(super) fn is_ours(function: &Function) -> bool {
    (function.info.vendor_id, function.info.device_id) == (VENDOR, DEVICE)
}

/// The ways to its registers.
pub(super) trait Access {
    /// 16 bits of configuration space, at once.
    fn configure(&mut self, register: u8, value: u16);
    /// 8 bits of it, and no others.
    fn configure8(&mut self, register: u8, value: u8);
    fn write16(&mut self, register: usize, value: u16);
    fn write32(&mut self, register: usize, value: u32);
}

/// The device.
pub(super) struct Device {
    function: Function,
    window: Registers,
}

impl Device {
    pub(super) fn open(function: &mut Function) -> Option<Device> {
        let bars = function.bars();
        function.enable();
        let window = bars.map(0, 0, WINDOW_LEN)?;
        Some(Device { function: function.clone(), window })
    }
}

impl Access for Device {
    fn configure(&mut self, register: u8, value: u16) {
        self.function.configuration.write16(self.function.place, register, value);
    }

    fn configure8(&mut self, register: u8, value: u8) {
        self.function.configuration.write8(self.function.place, register, value);
    }

    fn write16(&mut self, register: usize, value: u16) {
        self.window.write16(register, value);
    }

    fn write32(&mut self, register: usize, value: u32) {
        self.window.write32(register, value);
    }
}

/// The timer.
pub(super) struct Esb<A> {
    access: A,
}

impl<A: Access> Esb<A> {
    pub(super) fn new(access: A) -> Esb<A> {
        Esb { access }
    }

    fn unlock(&mut self) {
        UNLOCK.iter().for_each(|word| self.access.write16(RELOAD, *word));
    }
}

impl<A: Access> Timer for Esb<A> {
    fn start(&mut self, seconds: u16) {
        self.access.configure8(LOCK, 0);
        self.access.configure(CONFIG, NO_INTERRUPT);
        for timer in [TIMER_1, TIMER_2] {
            self.unlock();
            self.access.write32(timer, u32::from(seconds) << TICKS_SHIFT);
        }
        self.unlock();
        self.access.write16(RELOAD, TIMED_OUT);
        self.wind();
        self.access.configure8(LOCK, LOCK_ENABLE);
    }

    fn wind(&mut self) {
        self.unlock();
        self.access.write16(RELOAD, RELOAD_TIMERS);
    }

    fn stop(&mut self) {
        // One that is being switched off must not run out on the way.
        self.wind();
        self.access.configure8(LOCK, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that takes a register only behind the two words, and counts.
    #[derive(Default)]
    struct Fake {
        unlocked: usize,
        preload: [u32; 2],
        left: u32,
        is_on: bool,
        config: u16,
    }

    impl Fake {
        fn take(&mut self) -> bool {
            core::mem::take(&mut self.unlocked) == UNLOCK.len()
        }

        /// Lets milliseconds pass; `true`: the machine is reset.
        fn pass(&mut self, millis: u32) -> bool {
            self.left = if self.is_on { self.left.saturating_sub(millis) } else { self.left };
            self.is_on && self.left == 0
        }
    }

    impl Access for Fake {
        fn configure(&mut self, register: u8, value: u16) {
            assert_eq!(register, CONFIG);
            self.config = value;
        }

        fn configure8(&mut self, register: u8, value: u8) {
            assert_eq!(register, LOCK);
            self.is_on = value & LOCK_ENABLE != 0;
        }

        fn write16(&mut self, register: usize, value: u16) {
            assert_eq!(register, RELOAD);
            if UNLOCK.get(self.unlocked) == Some(&value) {
                self.unlocked += 1;
            } else if self.take() && value & RELOAD_TIMERS != 0 {
                self.left = self.preload.iter().sum();
            }
        }

        fn write32(&mut self, register: usize, value: u32) {
            if self.take() {
                self.preload[register / 4] = value;
            }
        }
    }

    #[test]
    fn it_runs_out_unless_it_is_wound_up_and_not_after_it_was_stopped() {
        let mut timer = Esb::new(Fake::default());
        assert!(!timer.access.pass(1 << 20), "nobody has started it");
        timer.start(60);
        assert_eq!(timer.access.config, NO_INTERRUPT);
        for _ in 0..5 {
            assert!(!timer.access.pass(59_000));
            timer.wind();
        }
        assert!(timer.access.pass(62_000));
        timer.stop();
        assert!(!timer.access.pass(1 << 20));
    }
}
