//! The content of a disk in memory: sparse, and cheap to copy.
//!
//! Knows bytes at sector numbers. Must not know faults, time, or what the bytes mean.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use hashbrown::HashMap;

/// Bytes in a page: what a first write to a region costs.
const PAGE: u64 = 16 * 1024;

/// Sectors that were never written are zero and cost nothing; a clone shares every page until one side writes it.
#[derive(Clone, Debug)]
pub struct Image {
    sector_size: u32,
    sector_count: u64,
    pages: HashMap<u64, Rc<Vec<u8>>>,
}

impl Image {
    /// A disk of zeros.
    pub fn new(sector_size: u32, sector_count: u64) -> Image {
        assert!(sector_size.is_power_of_two() && sector_size >= 512 && u64::from(sector_size) <= PAGE);
        Image { sector_size, sector_count, pages: HashMap::new() }
    }

    /// A disk that holds `content`; a last sector that is not full is filled with zeros.
    pub fn from_bytes(sector_size: u32, content: &[u8]) -> Image {
        let sectors = content.len().div_ceil(sector_size as usize) as u64;
        let mut image = Image::new(sector_size, sectors);
        image.put(0, content);
        image
    }

    /// The same content at the start of a larger disk.
    pub fn on_larger(&self, sector_count: u64) -> Image {
        assert!(sector_count >= self.sector_count);
        Image { sector_count, ..self.clone() }
    }

    /// Bytes in a sector.
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Sectors on the disk.
    pub fn sector_count(&self) -> u64 {
        self.sector_count
    }

    /// Bytes on the disk.
    pub fn len_bytes(&self) -> u64 {
        self.sector_count * u64::from(self.sector_size)
    }

    /// The `len` bytes at `offset`. The caller has checked the bounds.
    pub fn get(&self, offset: u64, len: usize) -> Bytes {
        assert!(offset + len as u64 <= self.len_bytes());
        let mut target = vec![0; len];
        let mut done = 0;
        while done < len {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let run = (len - done).min(PAGE as usize - inside);
            if let Some(page) = self.pages.get(&(at / PAGE)) {
                target[done..done + run].copy_from_slice(&page[inside..inside + run]);
            }
            done += run;
        }
        Bytes::from(target)
    }

    /// Puts `source` at `offset`. The caller has checked the bounds.
    pub fn put(&mut self, offset: u64, source: &[u8]) {
        assert!(offset + source.len() as u64 <= self.len_bytes());
        let mut done = 0;
        while done < source.len() {
            let at = offset + done as u64;
            let inside = (at % PAGE) as usize;
            let run = (source.len() - done).min(PAGE as usize - inside);
            let piece = &source[done..done + run];
            let known = self.pages.contains_key(&(at / PAGE));
            if known || piece.iter().any(|byte| *byte != 0) {
                let page = self.pages.entry(at / PAGE).or_insert_with(|| Rc::new(vec![0; PAGE as usize]));
                Rc::make_mut(page)[inside..inside + run].copy_from_slice(piece);
            }
            done += run;
        }
    }

    /// The whole content. Only for disks that fit into memory.
    pub fn to_vec(&self) -> Vec<u8> {
        self.get(0, self.len_bytes() as usize).to_vec()
    }

    /// Whether `first + count` are sectors of this disk.
    pub fn contains(&self, first: u64, count: u64) -> bool {
        first.checked_add(count).is_some_and(|end| end <= self.sector_count)
    }
}
