//! The two kernels that a disk keeps, and which of them is started: so that a bad one never leaves a node that does not boot.
//!
//! | module | knows | must not know |
//! |---|---|---|
//! | [`record`] | the file `granary.slots`: bytes ↔ [`Slots`], and which half of it is written next | who decides |
//! | [`keeper`] | the file in a 9fat that is in use: a kernel that serves, an upgrade, a rollback | how a kernel comes into 9fat |
//!
//! This page decides: pure functions from what was to what shall be. A loader asks [`Slots::order`], writes
//! [`Slots::counted`] before it starts a kernel that has not served yet, and writes nothing where one did that has; the kernel
//! that serves writes [`Slots::served`].

pub mod keeper;
pub mod record;
#[cfg(test)]
mod tests;

pub use keeper::{Keeper, SlotError};

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use sha2::{Digest, Sha256};

/// The file in 9fat that holds the record.
pub const FILE: &str = "granary.slots";
/// Starts of a kernel that do not reach serving, after which the other one is started.
pub const TRIES_MAX: u8 = 3;

/// One of the two places for a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The file `granary.a`.
    A,
    /// The file `granary.b`.
    B,
}

/// Both.
pub const SLOTS: [Slot; 2] = [Slot::A, Slot::B];

impl Slot {
    /// The other one.
    pub fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }

    /// Its file in 9fat.
    pub fn file(self) -> &'static str {
        match self {
            Slot::A => "granary.a",
            Slot::B => "granary.b",
        }
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Slot::A => "a",
            Slot::B => "b",
        }
    }

    /// The slot whose file has this name; FAT does not tell capitals from small letters.
    pub fn of_file(name: &str) -> Option<Slot> {
        SLOTS.into_iter().find(|slot| name.trim_start_matches('/').eq_ignore_ascii_case(slot.file()))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A word that names no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the kernel slots are called a and b")]
pub struct NoSlot;

impl FromStr for Slot {
    type Err = NoSlot;

    fn from_str(name: &str) -> Result<Slot, NoSlot> {
        SLOTS.into_iter().find(|slot| slot.name() == name).ok_or(NoSlot)
    }
}

/// What tells a whole kernel file from any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its bytes; never 0.
    pub len: u32,
    /// Their SHA-256.
    pub sha256: [u8; 32],
}

impl Image {
    /// Of this file. `None`: it is empty, or longer than a file in 9fat can be.
    pub fn of(file: &[u8]) -> Option<Image> {
        let len = u32::try_from(file.len()).ok().filter(|len| *len > 0)?;
        Some(Image { len, sha256: Sha256::digest(file).into() })
    }

    /// Whether `file` is that one, whole.
    pub fn is(&self, file: &[u8]) -> bool {
        Image::of(file) == Some(*self)
    }
}

/// What the disk knows of its kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Grows with each record that is written.
    pub(crate) sequence: u64,
    /// The one to start.
    pub next: Slot,
    /// The one that last served.
    pub good: Option<Slot>,
    /// Starts of `next` since it was chosen, without reaching serving. Counted only where `good` is another one.
    pub tried: u8,
    /// One that was given up.
    pub failed: Option<Slot>,
    pub(crate) images: [Option<Image>; 2],
}

/// A kernel that may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it is.
    pub slot: Slot,
    /// What it must be. `None` where nothing is known of it: a disk that keeps no record.
    pub image: Option<Image>,
    /// Its start must be counted before it happens; if that cannot be written, it is not started.
    pub is_counted: bool,
}

/// What is tried where a disk keeps no record: each file that is there.
pub const WITHOUT_RECORD: [Candidate; 2] = [
    Candidate { slot: Slot::A, image: None, is_counted: false },
    Candidate { slot: Slot::B, image: None, is_counted: false },
];

impl Slots {
    /// Of a disk with one kernel, which has not served yet.
    pub fn with(slot: Slot, image: Image) -> Slots {
        let mut slots =
            Slots { sequence: 1, next: slot, good: None, tried: 0, failed: None, images: [None; 2] };
        slots.images[slot as usize] = Some(image);
        slots
    }

    /// The kernel in a slot.
    pub fn image(&self, slot: Slot) -> Option<Image> {
        self.images[slot as usize]
    }

    /// Which kernels are started, in this order: the second where the first is damaged.
    pub fn order(&self) -> Vec<Candidate> {
        let has_other = self.good.is_some_and(|good| good != self.next && self.image(good).is_some());
        let is_given_up = has_other && self.tried >= TRIES_MAX;
        let first = if is_given_up { self.next.other() } else { self.next };
        let candidate = |slot: Slot| {
            let is_counted = has_other && slot == self.next && !is_given_up;
            self.image(slot).map(|image| Candidate { slot, image: Some(image), is_counted })
        };
        [first, first.other()].into_iter().filter_map(candidate).collect()
    }

    /// After one more start of the kernel that is to be started.
    pub fn counted(&self) -> Slots {
        Slots { tried: self.tried.saturating_add(1), ..*self }
    }

    /// The kernel in `slot` serves; `None` if that is known. Where another one was to be started, it is given up.
    pub fn served(&self, slot: Slot) -> Option<Slots> {
        let failed =
            if self.next == slot { self.failed.filter(|failed| *failed != slot) } else { Some(self.next) };
        let now = Slots { next: slot, good: Some(slot), tried: 0, failed, ..*self };
        (now != *self).then_some(now)
    }

    /// `slot` holds this kernel now. If it was the one to start, whatever it held, that is the other one until
    /// [`Slots::switched`].
    pub fn filled(&self, slot: Slot, image: Image) -> Slots {
        let mut now = *self;
        now.images[slot as usize] = Some(image);
        now.failed = now.failed.filter(|failed| *failed != slot);
        now
    }

    /// From now on `slot` is the one to start.
    pub fn switched(&self, slot: Slot) -> Slots {
        Slots { next: slot, tried: 0, failed: self.failed.filter(|failed| *failed != slot), ..*self }
    }

    /// Where a new kernel goes: not where the one is that runs, or else that last served.
    pub fn free(&self, running: Option<Slot>) -> Slot {
        running.or(self.good).unwrap_or(self.next).other()
    }
}
