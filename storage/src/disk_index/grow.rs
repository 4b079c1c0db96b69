//! More arenas for an index: they are appended to the map that every section repeats, as `fmtindex -a` does.
//!
//! A section's text changes as its buckets do, through the redo log: after a power cut it is the old or the new one. The
//! sections change one after the other; recovery takes the longest map, and [`DiskIndex::settle`] brings the others up
//! to it.

use super::redo::CHANGES_LEN_MAX;
use super::section::{Change, Section};
use super::{DiskIndex, IndexFailed};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::Name;
use crate::format::index_config::{IndexConfig, TextTooLong, place_arenas};
use crate::format::range_map::{RangeMap, RangeMapError};
use bytes::Bytes;

/// What a disk writes whole, at the least.
const SECTOR: usize = 512;

/// Why the index takes no more arenas. It is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotGrow {
    /// Their names, or the number of arenas.
    #[error(transparent)]
    Map(#[from] RangeMapError),
    /// The map would not fit, or not be changed at once.
    #[error(transparent)]
    Text(#[from] TextTooLong),
    /// A disk failed. Some sections may know of the arenas: that does no harm, and it can be tried again.
    #[error("{}: {}", .0.partition, .0.error)]
    Failed(IndexFailed),
}

impl<D: BlockDevice> DiskIndex<D> {
    /// Appends arenas of these names and sizes (log and directory together). Returns the new map; it is durable.
    pub(crate) async fn append(
        &self,
        arenas: impl IntoIterator<Item = (Name, u64)>,
    ) -> Result<RangeMap, CannotGrow> {
        let mut config = self.config.borrow().clone();
        config.arenas = place_arenas(&config.arenas, arenas)?;
        for section in &self.sections {
            let room = (section.header.text_len() as usize).min(CHANGES_LEN_MAX);
            config.encode(room)?;
        }
        for section in &self.sections {
            let written = write_text(section, &config).await;
            written.map_err(|error| {
                CannotGrow::Failed(IndexFailed { partition: section.name.clone(), error })
            })?;
        }
        let map = config.arenas.clone();
        *self.config.borrow_mut() = config;
        Ok(map)
    }

    /// Gives every section the text that the longest has.
    pub(super) async fn catch_up(&self) -> Result<(), IndexFailed> {
        if !self.texts_differ.get() {
            return Ok(());
        }
        let config = self.config.borrow().clone();
        for section in &self.sections {
            let written = write_text(section, &config).await;
            written.map_err(|error| IndexFailed { partition: section.name.clone(), error })?;
        }
        self.texts_differ.set(false);
        Ok(())
    }
}

/// Writes those sectors of a section's text that change.
async fn write_text<D: BlockDevice>(section: &Section<D>, config: &IndexConfig) -> Result<(), DeviceError> {
    section.settle().await?;
    let (base, len) = (section.header.text_base(), section.header.text_len() as usize);
    let old = read_bytes(&section.device, base, len).await?;
    // It was seen to fit.
    let Ok(new) = config.encode(len) else { return Ok(()) };
    let mut sectors = old.chunks(SECTOR).zip(new.chunks(SECTOR)).map(|(old, new)| old != new);
    let Some(first) = sectors.position(|differs| differs) else { return Ok(()) };
    let last = first + 1 + sectors.rposition(|differs| differs).map_or(0, |behind| behind + 1);
    let bytes = first * SECTOR..(last * SECTOR).min(len);
    let change = Change {
        offset: base + bytes.start as u64,
        old: old.slice(bytes.clone()),
        new: Bytes::copy_from_slice(&new[bytes]),
    };
    section.change([change].into()).await?;
    section.rest().await
}
