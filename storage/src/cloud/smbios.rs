//! Firmware's word on the machine: SMBIOS (DMTF DSP0134), of which the maker, the product and its numbers count.
//!
//! Knows entry points, and the table's structures. Must not know how memory is mapped, nor what the words mean. Firmware
//! writes it, but on a virtual machine anybody who starts it: lengths are checked, and what is too long is left out.

use alloc::string::{String, ToString};

/// Where a PC's BIOS puts an entry point, on a boundary of 16 bytes (DSP0134, 5.2).
pub const AREA: u64 = 0xf_0000;
/// Bytes of that area.
pub const AREA_LEN: usize = 0x1_0000;
/// Bytes of an entry point that are looked at.
pub const ENTRY_LEN_MAX: usize = 32;
/// A longer table is cut off.
const TABLE_LEN_MAX: usize = 256 << 10;
/// More structures are not looked at.
const STRUCTURES_MAX: usize = 4096;
/// A longer text is none.
const TEXT_LEN_MAX: usize = 512;

const BOUNDARY: usize = 16;
/// "System Information" and "End-of-Table" (DSP0134, 7.2 and 7.45).
const SYSTEM: u8 = 1;
const END: u8 = 127;
const HEADER_LEN: usize = 4;

/// Access to firmware's memory.
pub trait Memory {
    /// `len` bytes at physical address `address`, if they can be had.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// What the machine is. A text that firmware does not give is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// Who made it: "Amazon EC2".
    pub manufacturer: String,
    /// What they call it: "OpenStack Nova".
    pub product: String,
    /// Its serial number, in which cloud-init's NoCloud keeps words of its own.
    pub serial: String,
    /// Its number among all machines, as its bytes lie in the table.
    pub uuid: [u8; 16],
}

/// Why firmware's table tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SmbiosError {
    /// What the loader pointed at is no entry point.
    #[error("there is no SMBIOS entry point at {0:#x}, where the loader says that it is")]
    NoEntry(u64),
    /// The table lies where no memory is that could be read.
    #[error("SMBIOS: {len} bytes of table at {address:#x} cannot be read")]
    Unreadable {
        /// Where.
        address: u64,
        /// How much.
        len: usize,
    },
}

/// Where the table is.
struct Table {
    address: u64,
    len: usize,
}

/// What the machine is, by the entry point at `entry`, or else by the one in the BIOS area; `None` where there is none, or no
/// structure that tells.
///
/// # Errors
/// See [`SmbiosError`].
pub fn read(memory: &impl Memory, entry: Option<u64>) -> Result<Option<System>, SmbiosError> {
    let found = match entry {
        Some(address) => {
            let bytes = memory.bytes(address, ENTRY_LEN_MAX).ok_or(SmbiosError::NoEntry(address))?;
            Some(table_of(bytes).ok_or(SmbiosError::NoEntry(address))?)
        }
        None => memory.bytes(AREA, AREA_LEN).and_then(find),
    };
    let Some(Table { address, len }) = found else { return Ok(None) };
    let table = memory.bytes(address, len).ok_or(SmbiosError::Unreadable { address, len })?;
    Ok(system_in(table))
}

/// The first table that an entry point in the BIOS area names; one of version 3 before one of version 2.
fn find(area: &[u8]) -> Option<Table> {
    let entries = || (0..area.len()).step_by(BOUNDARY).filter_map(|at| area.get(at..));
    entries().find_map(table_of_3).or_else(|| entries().find_map(table_of_2))
}

fn table_of(entry: &[u8]) -> Option<Table> {
    table_of_3(entry).or_else(|| table_of_2(entry))
}

/// DSP0134, 5.2.2: SMBIOS 3.0, with 64 bits.
fn table_of_3(entry: &[u8]) -> Option<Table> {
    let whole = entry.starts_with(b"_SM3_") && sums_up(entry, *entry.get(6)?, 0x18);
    let len = u32::from_le_bytes(*entry.get(0xc..)?.first_chunk()?);
    let address = u64::from_le_bytes(*entry.get(0x10..)?.first_chunk()?);
    whole.then_some(Table { address, len: (len as usize).min(TABLE_LEN_MAX) })
}

/// DSP0134, 5.2.1: SMBIOS 2.1, with 32 bits. Its length is 31 bytes, and 30 where firmware follows a slip in version 2.1.
fn table_of_2(entry: &[u8]) -> Option<Table> {
    let len = *entry.get(5)?;
    let whole = entry.starts_with(b"_SM_") && sums_up(entry, len, 0x1e) && entry.get(0x10..0x15)? == b"_DMI_";
    let len = u16::from_le_bytes(*entry.get(0x16..)?.first_chunk()?);
    let address = u32::from_le_bytes(*entry.get(0x18..)?.first_chunk()?);
    whole.then_some(Table { address: address.into(), len: len.into() })
}

/// Whether so many bytes come to zero, and are as many as there must be.
fn sums_up(entry: &[u8], len: u8, least: u8) -> bool {
    let bytes = entry.get(..usize::from(len));
    len >= least
        && bytes.is_some_and(|bytes| bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0)
}

/// The structure of the system (DSP0134, 6.1: a formatted part, then texts that end with a zero, then one zero more).
fn system_in(table: &[u8]) -> Option<System> {
    let mut rest = table;
    for _ in 0..STRUCTURES_MAX {
        let (kind, len) = (*rest.first()?, usize::from(*rest.get(1)?));
        if kind == END || len < HEADER_LEN {
            return None;
        }
        let (fields, behind) = rest.split_at_checked(len)?;
        let texts_len = behind.windows(2).position(|pair| pair == [0, 0])?;
        let (texts, next) = behind.split_at_checked(texts_len + 2)?;
        if kind == SYSTEM {
            return Some(system(fields, texts));
        }
        rest = next;
    }
    None
}

fn system(fields: &[u8], texts: &[u8]) -> System {
    let uuid = fields.get(8..).and_then(<[u8]>::first_chunk).copied();
    System {
        manufacturer: text(fields, 4, texts),
        product: text(fields, 5, texts),
        serial: text(fields, 7, texts),
        uuid: uuid.unwrap_or_default(),
    }
}

/// The text whose number, from 1 on, stands in a field.
fn text(fields: &[u8], field: usize, texts: &[u8]) -> String {
    let number = fields.get(field).copied().unwrap_or(0);
    let index = usize::from(number).checked_sub(1);
    let bytes =
        index.and_then(|index| texts.split(|byte| *byte == 0).take_while(|text| !text.is_empty()).nth(index));
    let text =
        bytes.filter(|bytes| bytes.len() <= TEXT_LEN_MAX).and_then(|bytes| core::str::from_utf8(bytes).ok());
    text.filter(|text| !text.contains(char::is_control)).unwrap_or_default().trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    const TABLE: u64 = 0x7fe_1000;

    struct Ram {
        area: Vec<u8>,
        table: Vec<u8>,
    }

    impl Memory for Ram {
        fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
            let (start, bytes) = if address >= TABLE { (TABLE, &self.table) } else { (AREA, &self.area) };
            let at = address.checked_sub(start)? as usize;
            bytes.get(at..at.checked_add(len)?)
        }
    }

    fn structure(kind: u8, fields: &[u8], texts: &[&str]) -> Vec<u8> {
        let mut bytes = vec![kind, 4 + fields.len() as u8, 1, 0];
        bytes.extend(fields);
        for text in texts {
            bytes.extend([text.as_bytes(), &[0]].concat());
        }
        bytes.extend(if texts.is_empty() { &[0, 0][..] } else { &[0] });
        bytes
    }

    fn sealed(mut entry: Vec<u8>, sum_at: usize) -> Vec<u8> {
        entry[sum_at] = 0;
        entry[sum_at] = entry.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
        entry
    }

    fn entry_2(len: usize) -> Vec<u8> {
        let mut entry = [&b"_SM_\0\x1f\x02\x08"[..], &[0; 8], b"_DMI_\0"].concat();
        entry.extend((len as u16).to_le_bytes());
        entry.extend((TABLE as u32).to_le_bytes());
        entry.extend([2, 0, 0x28]);
        sealed(entry, 4)
    }

    fn entry_3(len: usize) -> Vec<u8> {
        let mut entry = b"_SM3_\0\x18\x03\0\0\x01\0".to_vec();
        entry.extend((len as u32).to_le_bytes());
        entry.extend(TABLE.to_le_bytes());
        sealed(entry, 5)
    }

    fn table() -> Vec<u8> {
        let bios = structure(0, &[1, 2, 0, 0, 0], &["SeaBIOS", "1.16"]);
        let fields = [&[1, 2, 0, 3][..], &[7; 16], &[6, 0, 0]].concat();
        let system = structure(1, &fields, &["Amazon EC2", "m5.large ", "ds=nocloud"]);
        [structure(4, &[9], &[]), bios, system, structure(127, &[], &[])].concat()
    }

    fn machine(entry: Vec<u8>, at: usize, table: Vec<u8>) -> Ram {
        let mut area = vec![0; AREA_LEN];
        area[at..at + entry.len()].copy_from_slice(&entry);
        Ram { area, table }
    }

    fn expected() -> System {
        let [manufacturer, product, serial] = ["Amazon EC2", "m5.large", "ds=nocloud"].map(Into::into);
        System { manufacturer, product, serial, uuid: [7; 16] }
    }

    #[test]
    fn both_entry_points_are_found_by_themselves_and_where_a_loader_says() {
        let len = table().len();
        for entry in [entry_2(len), entry_3(len)] {
            let ram = machine(entry, 0x5a60, table());
            assert_eq!(read(&ram, None), Ok(Some(expected())));
            assert_eq!(read(&ram, Some(AREA + 0x5a60)), Ok(Some(expected())));
            assert_eq!(read(&ram, Some(AREA)), Err(SmbiosError::NoEntry(AREA)));
        }
    }

    #[test]
    fn what_is_no_entry_point_is_passed_by() {
        let len = table().len();
        let mut wrong_sum = entry_2(len);
        wrong_sum[0x1c] ^= 1;
        let mut short = entry_3(len);
        short[6] = 0x10;
        for (entry, at) in [(wrong_sum, 0), (sealed(short, 5), 0), (entry_2(len), 8)] {
            assert_eq!(read(&machine(entry, at, table()), None), Ok(None));
        }
        let nowhere = machine(entry_2(len + 1), 0, table());
        assert_eq!(read(&nowhere, None), Err(SmbiosError::Unreadable { address: TABLE, len: len + 1 }));
    }

    #[test]
    fn a_table_that_lies_tells_nothing_or_less() {
        let told = |table: Vec<u8>| read(&machine(entry_2(table.len()), 0, table), None).unwrap();
        let whole = table();
        for end in 0..whole.len() {
            // A system's structure is whole up to here, or it is not there.
            assert!(told(whole[..end].to_vec()).is_none_or(|system| system == expected()), "{end}");
        }
        assert_eq!(told(structure(127, &[], &[])), None);
        assert_eq!(told(vec![1, 3, 0, 0, 0, 0]), None);
        let odd = told(structure(1, &[9, 1, 0, 2], &[&"x".repeat(600), "a\nb"])).unwrap();
        assert_eq!(odd, System::default());
    }
}
