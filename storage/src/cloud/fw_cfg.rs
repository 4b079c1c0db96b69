//! QEMU's fw_cfg device: a directory of items, read byte by byte (QEMU, "QEMU Firmware Configuration (fw_cfg) Device").
//!
//! Knows keys, the directory's entries and their order of bytes. Must not know how a register is reached.

use super::USER_DATA_LEN_MAX;
use alloc::vec;
use alloc::vec::Vec;

/// The item that holds settings: `opt/` is for users, what follows is this program's.
pub const ITEM: &str = "opt/granary/granary.ini";

const SIGNATURE: u16 = 0x0000;
const DIRECTORY: u16 = 0x0019;
/// More items than this no machine has.
const ITEMS_MAX: u32 = 1024;
/// Bytes of an item's name, with zeros behind.
const NAME_LEN: usize = 56;

/// The device's two registers.
pub trait Registers {
    /// Chooses an item; reading begins at its start.
    fn select(&mut self, key: u16);
    /// The next byte of the item, zero behind its end.
    fn next(&mut self) -> u8;
}

/// Why an item is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FwCfgError {
    /// More items than any machine has.
    #[error("fw_cfg lists {0} items, which cannot be: none is read")]
    Items(u32),
    /// More bytes than settings may have.
    #[error("fw_cfg {ITEM} has {0} bytes, more than {USER_DATA_LEN_MAX}: it is not read")]
    TooLong(u32),
}

/// Reads [`ITEM`]; `None` where there is no such device, or no such item.
///
/// # Errors
/// See [`FwCfgError`].
pub fn read(registers: &mut impl Registers) -> Result<Option<Vec<u8>>, FwCfgError> {
    registers.select(SIGNATURE);
    if bytes(registers) != *b"QEMU" {
        return Ok(None);
    }
    registers.select(DIRECTORY);
    let items = u32::from_be_bytes(bytes(registers));
    if items > ITEMS_MAX {
        return Err(FwCfgError::Items(items));
    }
    for _ in 0..items {
        let len = u32::from_be_bytes(bytes(registers));
        let key = u16::from_be_bytes(bytes(registers));
        let _reserved: [u8; 2] = bytes(registers);
        let name: [u8; NAME_LEN] = bytes(registers);
        if name.split(|byte| *byte == 0).next() != Some(ITEM.as_bytes()) {
            continue;
        }
        let room = usize::try_from(len).ok().filter(|len| *len <= USER_DATA_LEN_MAX);
        let mut content = vec![0; room.ok_or(FwCfgError::TooLong(len))?];
        registers.select(key);
        content.iter_mut().for_each(|byte| *byte = registers.next());
        return Ok(Some(content));
    }
    Ok(None)
}

fn bytes<const N: usize>(registers: &mut impl Registers) -> [u8; N] {
    core::array::from_fn(|_| registers.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device with these items.
    struct Fake {
        items: Vec<(u16, Vec<u8>)>,
        selected: Option<usize>,
        at: usize,
    }

    impl Registers for Fake {
        fn select(&mut self, key: u16) {
            self.selected = self.items.iter().position(|(number, _)| *number == key);
            self.at = 0;
        }

        fn next(&mut self) -> u8 {
            let item = self.selected.map(|item| &self.items[item].1);
            self.at += 1;
            item.and_then(|item| item.get(self.at - 1)).copied().unwrap_or(0)
        }
    }

    fn entry(len: u32, key: u16, name: &str) -> Vec<u8> {
        let mut entry = [&len.to_be_bytes()[..], &key.to_be_bytes(), &[0; 2], name.as_bytes()].concat();
        entry.resize(64, 0);
        entry
    }

    fn device(count: u32, entries: &[Vec<u8>]) -> Fake {
        let directory = [&count.to_be_bytes()[..], &entries.concat()].concat();
        let items = vec![(0, b"QEMU".to_vec()), (0x19, directory), (0x21, b"sysname=barn\n".to_vec())];
        Fake { items, selected: None, at: 0 }
    }

    #[test]
    fn our_item_is_found_among_others() {
        let entries = [entry(4, 0x20, "etc/e820"), entry(13, 0x21, ITEM)];
        assert_eq!(read(&mut device(2, &entries)), Ok(Some(b"sysname=barn\n".to_vec())));
        assert_eq!(read(&mut device(1, &entries)), Ok(None));
        let longer = [entry(13, 0x21, &(ITEM.to_owned() + "x"))];
        assert_eq!(read(&mut device(1, &longer)), Ok(None));
    }

    #[test]
    fn what_is_no_such_device_or_cannot_be_is_not_read() {
        let mut other = device(1, &[entry(13, 0x21, ITEM)]);
        other.items[0].1 = vec![0xff; 4];
        assert_eq!(read(&mut other), Ok(None));
        assert_eq!(read(&mut device(u32::MAX, &[])), Err(FwCfgError::Items(u32::MAX)));
        let long = [entry(1 << 20, 0x21, ITEM)];
        assert_eq!(read(&mut device(1, &long)), Err(FwCfgError::TooLong(1 << 20)));
    }

    use std::borrow::ToOwned;
}
