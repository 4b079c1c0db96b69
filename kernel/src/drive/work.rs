//! One thing that a disk is asked to do, with the memory for it.
//!
//! Knows directions, sectors and memory. Must not know how any controller is told.

use crate::virtio::buffer::DmaBuffer;
use alloc::rc::Rc;
use bytes::Bytes;
use core::ops::Range;
use core::ptr::NonNull;
use storage::device::DeviceError;

/// Bytes of what a disk says of its health.
pub(crate) const HEALTH_LEN: usize = 512;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
    Flush,
    /// The disk says how it is: [`HEALTH_LEN`] bytes in its own form.
    Health,
}

/// The memory of a transfer.
#[derive(Clone)]
pub(crate) enum Memory {
    /// Part of a buffer that the disk fills.
    Target(Rc<DmaBuffer>, Range<usize>),
    /// Bytes that the disk reads.
    Source(Bytes),
    None,
}

/// One command's worth of work.
#[derive(Clone)]
pub(crate) struct Work {
    /// Which of the disks behind the controller.
    pub(crate) unit: u16,
    pub(crate) kind: Kind,
    /// First sector, in the disk's own sectors.
    pub(crate) first: u64,
    pub(crate) sectors: u32,
    pub(crate) memory: Memory,
}

impl Work {
    /// A flush of `unit`.
    pub(crate) fn flush(unit: u16) -> Work {
        Work { unit, kind: Kind::Flush, first: 0, sectors: 0, memory: Memory::None }
    }

    /// The question how `unit` is.
    pub(crate) fn health(unit: u16, target: Rc<DmaBuffer>) -> Work {
        Work { unit, kind: Kind::Health, first: 0, sectors: 1, memory: Memory::Target(target, 0..HEALTH_LEN) }
    }

    /// Its memory. Only an address: what may be done with it is for whoever holds the work to know.
    pub(crate) fn part(&self) -> NonNull<[u8]> {
        match &self.memory {
            Memory::Target(target, range) => target.part(range.clone()),
            Memory::Source(source) => NonNull::from(source.as_ref()),
            Memory::None => NonNull::slice_from_raw_parts(NonNull::dangling(), 0),
        }
    }

    /// What a device is told of its memory, as RAM is mapped onto itself: first byte and length.
    pub(crate) fn place(&self) -> (u64, usize) {
        let part = self.part();
        (part.cast::<u8>().as_ptr().expose_provenance() as u64, part.len())
    }

    /// The error of this work, if it fails for a reason of its own.
    pub(crate) fn error(&self) -> DeviceError {
        let (first, count) = (self.first, self.sectors.into());
        match self.kind {
            Kind::Read | Kind::Health => DeviceError::Read { first, count },
            Kind::Write => DeviceError::Write { first, count },
            Kind::Flush => DeviceError::Flush,
        }
    }
}
