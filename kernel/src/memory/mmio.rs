//! Device registers: the one home of volatile access.
//!
//! Knows how a register is read and written. Must not know what it does.

use core::ptr::NonNull;

/// A window of device registers, checked at every access. Cheap to copy; who drives the device keeps it to itself.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a window is an address; what the device makes of accesses from several processors is its driver's concern.
unsafe impl Send for Registers {}
// SAFETY: as above.
unsafe impl Sync for Registers {}

macro_rules! access {
    ($read:ident, $write:ident, $type:ty) => {
        #[doc = concat!("Reads the `", stringify!($type), "` at byte `offset`, which must be aligned for it.")]
        pub fn $read(&self, offset: usize) -> $type {
            let register = self.register::<$type>(offset);
            // SAFETY: `new` was promised that the window is mapped, and `register` checked bounds and alignment.
            unsafe { register.read_volatile() }
        }

        #[doc = concat!("Writes the `", stringify!($type), "` at byte `offset`, which must be aligned for it.")]
        pub fn $write(&self, offset: usize, value: $type) {
            let register = self.register::<$type>(offset);
            // SAFETY: as in the reading half.
            unsafe { register.write_volatile(value) }
        }
    };
}

impl Registers {
    /// # Safety
    /// `base..base + len` must stay mapped as device memory and hold nothing that Rust knows of.
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Registers {
        Registers { base, len }
    }

    /// The window's first byte.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes in the window.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the window holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of the window from `offset` on, `len` bytes long.
    pub fn part(&self, offset: usize, len: usize) -> Option<Registers> {
        let end = offset.checked_add(len)?;
        let base = NonNull::new(self.base.as_ptr().wrapping_add(offset))?;
        (end <= self.len).then_some(Registers { base, len })
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);
    access!(read64, write64, u64);

    fn register<T>(&self, offset: usize) -> *mut T {
        let inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        let register = self.base.as_ptr().wrapping_add(offset).cast::<T>();
        assert!(inside && register.is_aligned(), "register {offset:#x} of a window of {:#x} bytes", self.len);
        register
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_nothing_outside() {
        let mut memory = [0u64; 4];
        // SAFETY: ordinary memory stands in for a device; it outlives the window.
        let window = unsafe { Registers::new(NonNull::from(&mut memory).cast(), 32) };
        window.write32(4, 0x0102_0304);
        assert_eq!(window.read16(4), 0x0304);
        let part = window.part(4, 8).unwrap();
        assert_eq!(part.read8(3), 1);
        assert!(window.part(30, 4).is_none());
        assert!(std::panic::catch_unwind(|| part.read32(8)).is_err());
        assert!(std::panic::catch_unwind(|| part.read64(0)).is_err(), "not aligned");
    }
}
