//! Page tables that map addresses onto themselves, for the moments between a firmware's tables and a kernel's.
//!
//! Knows the processor's table format (Intel SDM 3A, chapter 4). Must not know what is mapped.

use super::u64_at;

/// Bytes of one table.
pub const TABLE_LEN: usize = 4096;
/// Bytes that one call maps.
pub const PAGE_LEN: u64 = 2 << 20;

const ENTRIES: u64 = 512;
/// Present, writable.
const LINK: u64 = 3;
/// Present, writable, a page of 2 MiB.
const PAGE: u64 = 0x83;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Tables under construction; they are complete after each call.
#[derive(Debug)]
pub struct IdentityMap<'a> {
    memory: &'a mut [u8],
    address: u64,
    used: usize,
    levels: u32,
}

/// There is no room for another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the page tables are full")]
pub struct TablesFull;

impl<'a> IdentityMap<'a> {
    /// Empty tables in `memory`, which lies at `address`, a multiple of [`TABLE_LEN`]. `levels` is 4, or 5 where the
    /// processor is in that mode.
    pub fn new(memory: &'a mut [u8], address: u64, levels: u32) -> IdentityMap<'a> {
        memory.fill(0);
        IdentityMap { memory, address, used: 1, levels }
    }

    /// Maps the 2 MiB around `address`.
    ///
    /// # Errors
    /// When the memory given holds no more tables.
    pub fn map(&mut self, address: u64) -> Result<(), TablesFull> {
        let mut table = 0;
        for level in (3..=self.levels).rev() {
            table = self.below(table, slot(address, level))?;
        }
        self.set(table, slot(address, 2), address & !(PAGE_LEN - 1) | PAGE)
    }

    /// The table that a slot leads to; a new one if it leads nowhere.
    fn below(&mut self, table: usize, slot: usize) -> Result<usize, TablesFull> {
        let entry = u64_at(self.memory, table * TABLE_LEN + slot * 8).map_err(|_| TablesFull)?;
        if entry != 0 {
            return Ok(((entry & ADDRESS) - self.address) as usize / TABLE_LEN);
        }
        let new = self.used;
        if (new + 1) * TABLE_LEN > self.memory.len() {
            return Err(TablesFull);
        }
        self.used += 1;
        self.set(table, slot, (self.address + (new * TABLE_LEN) as u64) | LINK)?;
        Ok(new)
    }

    fn set(&mut self, table: usize, slot: usize, entry: u64) -> Result<(), TablesFull> {
        let at = table * TABLE_LEN + slot * 8;
        let place = self.memory.get_mut(at..at + 8).ok_or(TablesFull)?;
        place.copy_from_slice(&entry.to_le_bytes());
        Ok(())
    }
}

/// Which entry of a table of this level stands for an address; level 1 would be pages of 4 KiB.
fn slot(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * (level - 1)) & (ENTRIES - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x7_0000;

    /// What the processor would find.
    fn walk(memory: &[u8], levels: u32, address: u64) -> Option<u64> {
        let mut table = 0;
        for level in (3..=levels).rev() {
            let entry = u64_at(memory, table + slot(address, level) * 8).ok()?;
            if entry & 1 == 0 {
                return None;
            }
            table = ((entry & ADDRESS) - AT) as usize;
        }
        let entry = u64_at(memory, table + slot(address, 2) * 8).ok()?;
        (entry & PAGE == PAGE).then_some((entry & ADDRESS) + address % PAGE_LEN)
    }

    #[test]
    fn what_was_mapped_is_found_at_its_own_address_and_nothing_else() {
        for levels in [4, 5] {
            let mut memory = std::vec![0xff; 9 * TABLE_LEN];
            let mut map = IdentityMap::new(&mut memory, AT, levels);
            let mapped = [0, 0x1_0000_0000 - 1, 0x12_3456_7890];
            mapped.iter().for_each(|address| map.map(*address).unwrap());
            for address in mapped {
                assert_eq!(walk(&memory, levels, address), Some(address), "{levels}");
            }
            assert_eq!(walk(&memory, levels, PAGE_LEN), None);
            assert_eq!(walk(&memory, levels, 0x80_0000_0000), None);
        }
    }

    #[test]
    fn a_map_without_room_is_refused() {
        let mut memory = [0; 3 * TABLE_LEN];
        let mut map = IdentityMap::new(&mut memory, AT, 4);
        assert_eq!((map.map(0), map.map(1 << 30)), (Ok(()), Err(TablesFull)));
    }
}
