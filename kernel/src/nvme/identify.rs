//! What controllers and namespaces say of themselves (NVM Express Base 1.4, section 5.15).
//!
//! Knows the structures of Identify. Must not know how they are asked for.

use crate::drive::{Geometry, Problem};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes in each of the structures.
pub(super) const IDENTIFY_LEN: usize = 4096;
/// More namespaces than these are left out.
pub(super) const NAMESPACES_MAX: usize = 64;

pub(super) const CNS_NAMESPACE: u32 = 0;
pub(super) const CNS_CONTROLLER: u32 = 1;
pub(super) const CNS_ACTIVE_NAMESPACES: u32 = 2;

/// A little-endian number in a structure.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    let field = bytes.get(at..at + len).unwrap_or_default();
    field.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

/// Text padded with blanks, without what cannot be printed.
fn text(bytes: &[u8]) -> String {
    let printable = bytes.iter().filter(|byte| matches!(byte, b' '..=b'~')).map(|byte| char::from(*byte));
    String::from(printable.collect::<String>().trim())
}

/// What matters of a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ControllerData {
    pub(super) serial: String,
    pub(super) model: String,
    /// The largest transfer in bytes.
    pub(super) transfer_max: u32,
    pub(super) has_write_cache: bool,
    pub(super) namespaces: u32,
}

impl ControllerData {
    /// `page_min`: the smallest page that the controller knows, in which it counts.
    pub(super) fn parse(bytes: &[u8], page_min: u64) -> ControllerData {
        let doublings = number(bytes, 77, 1) as u32;
        let transfer_max = match doublings {
            0 => u64::MAX,
            // Beyond 4 GiB there is no limit for us.
            _ => page_min.checked_shl(doublings.min(20)).unwrap_or(u64::MAX),
        };
        ControllerData {
            serial: text(bytes.get(4..24).unwrap_or_default()),
            model: text(bytes.get(24..64).unwrap_or_default()),
            transfer_max: transfer_max.min(u32::MAX.into()) as u32,
            has_write_cache: number(bytes, 525, 1) & 1 != 0,
            namespaces: number(bytes, 516, 4) as u32,
        }
    }
}

/// The numbers in a list of active namespaces: ascending, ended by 0.
pub(super) fn active_namespaces(bytes: &[u8]) -> Vec<u32> {
    let numbers = bytes.chunks_exact(4).map(|entry| number(entry, 0, 4) as u32);
    let mut list: Vec<u32> = numbers.take_while(|number| *number != 0).take(NAMESPACES_MAX).collect();
    list.dedup();
    list
}

/// A namespace that can be used: a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    /// Its number, from 1 on.
    pub(crate) number: u32,
    pub(crate) geometry: Geometry,
    /// Its name in the world (NGUID, else EUI-64), empty if it has none.
    pub(crate) guid: String,
}

impl Namespace {
    /// `None`: there is no such namespace.
    pub(super) fn parse(
        number_: u32,
        bytes: &[u8],
        controller: &ControllerData,
    ) -> Result<Option<Namespace>, Problem> {
        let sector_count = number(bytes, 0, 8);
        if sector_count == 0 {
            return Ok(None);
        }
        // Formats beyond the first 16 have the upper bits of their number elsewhere.
        let chosen = number(bytes, 26, 1);
        let format = (chosen & 0xf | chosen >> 1 & 0x30) as usize;
        let format = number(bytes, 128 + 4 * format, 4) as u32;
        let unusable = |what, value| Err(Problem::Unusable { what, value });
        if format & 0xffff != 0 {
            return unusable("bytes of metadata in each sector", (format & 0xffff).into());
        }
        if number(bytes, 29, 1) & 7 != 0 {
            return unusable("its protection information", number(bytes, 29, 1) & 7);
        }
        let size_log = format >> 16 & 0xff;
        let geometry = Geometry {
            sector_size: 1u32.checked_shl(size_log).unwrap_or(0),
            sector_count,
            read_only: number(bytes, 99, 1) & 1 != 0,
            flushes: controller.has_write_cache,
            request_max: controller.transfer_max,
        };
        Ok(Some(Namespace { number: number_, geometry: geometry.checked()?, guid: guid(bytes) }))
    }
}

fn guid(bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let fields = [bytes.get(104..120).unwrap_or_default(), bytes.get(120..128).unwrap_or_default()];
    fields.into_iter().find(|field| field.iter().any(|byte| *byte != 0)).map(hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn controller() -> ControllerData {
        let mut bytes = [0; IDENTIFY_LEN];
        bytes[4..24].copy_from_slice(b"S1 2\x07               ");
        bytes[24..64].fill(b' ');
        bytes[77] = 7;
        bytes[516] = 3;
        bytes[525] = 1;
        ControllerData::parse(&bytes, 4096)
    }

    fn namespace(size_log: u8) -> [u8; IDENTIFY_LEN] {
        let mut bytes = [0; IDENTIFY_LEN];
        bytes[0..8].copy_from_slice(&1000u64.to_le_bytes());
        bytes[26] = 2;
        bytes[128 + 8 + 2] = size_log;
        bytes
    }

    #[test]
    fn a_controller_says_who_it_is_and_what_it_takes() {
        let data = controller();
        assert_eq!((data.serial.as_str(), data.model.as_str()), ("S1 2", ""));
        assert_eq!((data.transfer_max, data.has_write_cache, data.namespaces), (512 << 10, true, 3));
        let mut bytes = [0; IDENTIFY_LEN];
        assert_eq!(ControllerData::parse(&bytes, 4096).transfer_max, u32::MAX);
        bytes[77] = 255;
        assert_eq!(ControllerData::parse(&bytes, 4096).transfer_max, u32::MAX);
    }

    #[test]
    fn namespaces_have_sectors_of_either_size() {
        for (size_log, sector_size) in [(9, 512), (12, 4096)] {
            let mut bytes = namespace(size_log);
            bytes[120] = 0xab;
            let found = Namespace::parse(1, &bytes, &controller()).unwrap().unwrap();
            assert_eq!((found.geometry.sector_size, found.geometry.sector_count), (sector_size, 1000));
            assert_eq!(found.guid, "ab00000000000000");
            assert!(found.geometry.flushes && !found.geometry.read_only);
        }
        assert_eq!(Namespace::parse(1, &[0; IDENTIFY_LEN], &controller()), Ok(None));
    }

    #[test]
    fn senseless_namespaces_are_refused() {
        for size_log in [0, 8, 17, 31, 32, 255] {
            assert!(Namespace::parse(1, &namespace(size_log), &controller()).is_err(), "2^{size_log}");
        }
        let mut bytes = namespace(9);
        bytes[0..8].fill(0xff);
        assert!(Namespace::parse(1, &bytes, &controller()).is_err());
        let mut bytes = namespace(9);
        bytes[29] = 1;
        assert!(Namespace::parse(1, &bytes, &controller()).is_err());
        let mut bytes = namespace(9);
        bytes[128 + 8] = 8;
        assert!(Namespace::parse(1, &bytes, &controller()).is_err());
    }

    #[test]
    fn a_list_of_namespaces_ends_whatever_it_holds() {
        let mut bytes = [0; IDENTIFY_LEN];
        (bytes[0], bytes[4]) = (1, 7);
        assert_eq!(active_namespaces(&bytes), [1, 7]);
        assert_eq!(active_namespaces(&[0xff; IDENTIFY_LEN]), [u32::MAX]);
    }
}
