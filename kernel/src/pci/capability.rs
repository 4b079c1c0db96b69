//! The list of capabilities of a PCI function (PCI 3.0, 6.7).
//!
//! Knows the list's form. Must not know what a capability is for. The list is the device's word: it may point
//! anywhere or bite its own tail, and ends here all the same.

use super::Configuration;
use virtio_drivers::transport::pci::bus::DeviceFunction;

const STATUS: u8 = 0x06;
const STATUS_HAS_LIST: u16 = 1 << 4;
const FIRST: u8 = 0x34;
/// Where the part of configuration space begins that is the device's own.
const OWN_START: u8 = 0x40;
/// No list is longer: each entry has four bytes at least.
const ENTRIES_MAX: usize = (256 - OWN_START as usize) / 4;

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Its kind.
    pub id: u8,
    /// Where it starts.
    pub offset: u8,
}

impl Capability {
    /// The register `at` bytes into the capability, if that still lies in configuration space.
    pub fn register(&self, at: u8) -> Option<u8> {
        self.offset.checked_add(at)
    }
}

/// The capabilities of a function.
pub fn capabilities(
    configuration: &Configuration,
    function: DeviceFunction,
) -> impl Iterator<Item = Capability> + use<> {
    let configuration = *configuration;
    list(move |register| configuration.read16(function, register))
}

fn list(read16: impl Fn(u8) -> u16) -> impl Iterator<Item = Capability> {
    let first = if read16(STATUS) & STATUS_HAS_LIST == 0 { 0 } else { read16(FIRST) as u8 };
    let mut next = first & !3;
    core::iter::from_fn(move || {
        let offset = next;
        if offset < OWN_START {
            return None;
        }
        let header = read16(offset);
        next = (header >> 8) as u8 & !3;
        Some(Capability { id: header as u8, offset })
    })
    .take(ENTRIES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn walk(space: &[u8; 256]) -> Vec<(u8, u8)> {
        let read16 = |at: u8| u16::from_le_bytes([space[usize::from(at)], space[usize::from(at) + 1]]);
        list(read16).map(|entry| (entry.id, entry.offset)).collect()
    }

    #[test]
    fn follows_the_list_to_its_end() {
        let mut space = [0; 256];
        space[6] = 0x10;
        space[0x34] = 0x43;
        (space[0x40], space[0x41]) = (9, 0x50);
        (space[0x50], space[0x51]) = (0x11, 0);
        assert_eq!(walk(&space), [(9, 0x40), (0x11, 0x50)]);
        space[6] = 0;
        assert_eq!(walk(&space), []);
    }

    #[test]
    fn a_list_that_bites_its_tail_ends() {
        let mut space = [0; 256];
        space[6] = 0x10;
        space[0x34] = 0x40;
        (space[0x40], space[0x41]) = (9, 0x40);
        assert_eq!(walk(&space).len(), ENTRIES_MAX);
        assert!(walk(&[0xff; 256]).len() <= ENTRIES_MAX);
    }
}
