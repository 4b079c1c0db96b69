//! Where a block may be: first by memory, then, where memory does not hold the whole index, by the index on disk.
//!
//! Must not know what stands at a place.

use super::StoreError;
use super::core::Core;
use crate::block_type::BlockType;
use crate::device::BlockDevice;
use crate::disk_index::{IndexFailed, LookupFailed};
use crate::score::Score;

/// A search, and how far it has come.
pub(crate) struct Search {
    score: Score,
    block_type: BlockType,
    /// The last address that memory gave: it gives them in ascending order, and may change between two questions.
    last: Option<u64>,
    disk_asked: bool,
}

/// An address of the index's space, perhaps that of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: u64,
    /// The index sections gave it.
    pub(crate) from_disk: bool,
}

impl Search {
    pub(crate) fn new(score: Score, block_type: BlockType) -> Search {
        Search { score, block_type, last: None, disk_asked: false }
    }
}

impl<D: BlockDevice> Core<D> {
    /// The next place where the block may be. `None`: it is nowhere else.
    ///
    /// Memory is asked first: an entry leaves it only once the disk has it, so it is found at one of the two.
    pub(crate) async fn next_place(&self, search: &mut Search) -> Result<Option<Place>, StoreError> {
        {
            let state = self.state();
            let mut places = state.index.candidates(&search.score, search.block_type);
            if let Some(address) = places.find(|address| search.last.is_none_or(|last| *address > last)) {
                search.last = Some(address);
                return Ok(Some(Place { address, from_disk: false }));
            }
            if state.index_whole || search.disk_asked {
                return Ok(None);
            }
        }
        search.disk_asked = true;
        let Some(disk_index) = &self.disk_index else { return Ok(None) };
        match disk_index.lookup(&search.score, search.block_type).await {
            Ok(address) => Ok(address.map(|address| Place { address, from_disk: true })),
            Err(LookupFailed::Device(IndexFailed { partition, error })) => {
                Err(StoreError::Device { partition, error })
            }
            Err(LookupFailed::Damaged { partition, bucket }) => {
                Err(StoreError::IndexDamaged { partition, bucket })
            }
        }
    }
}
