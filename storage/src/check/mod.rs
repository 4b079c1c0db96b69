//! Reading a whole store through, offline: everything that stands on its disks is looked at, nothing is written.
//!
//! | module | what |
//! |---|---|
//! | `report` | what was found: place, fault, grade |
//! | `partition` | headers and maps of arena partitions, and arenas that no map names |
//! | `arena` | one arena: head, tail, log, directory, counters, seal |
//! | `log`, `directory` | what stands in a log, and in the directory, in whatever state |
//! | `index`, `buckets` | headers, texts and buckets of the index sections, against the clumps that were found |
//! | `bloom` | the bloom filter, against the same |
//! | `claim` | how long a partition says it is |
//!
//! Damage is told from lag: work that a server does by itself at its next start. Takes some forty bytes of memory for
//! each block of the store. Must not know how anything is repaired: [`crate::salvage`] does, and uses what is found here.

pub(crate) mod arena;
pub(crate) mod bloom;
pub(crate) mod buckets;
mod claim;
pub(crate) mod directory;
pub(crate) mod index;
pub(crate) mod log;
pub(crate) mod partition;
mod report;

pub use claim::claimed_len;
pub use report::{ArenaSummary, Fault, Finding, Grade, IndexSummary, Report};

use crate::device::{BlockDevice, DeviceError, size_bytes};
use crate::store::{StorePart, StoreParts};

/// Follows long work.
pub trait Watch {
    /// So many bytes will be read, about.
    fn expect(&mut self, bytes: u64);
    /// So many of them have been.
    fn advance(&mut self, bytes: u64);
}

/// Nobody looks.
impl Watch for () {
    fn expect(&mut self, _: u64) {}
    fn advance(&mut self, _: u64) {}
}

/// Checks a store.
///
/// # Errors
/// Only [`DeviceError::Gone`]; what cannot be read is a finding.
pub async fn check<D: BlockDevice>(
    parts: &StoreParts<D>,
    watch: &mut impl Watch,
) -> Result<Report, DeviceError> {
    let mut report = Report::default();
    let mut arenas = partition::read(&parts.arenas, &mut report).await?;
    let index = index::read(&parts.index_sections, &arenas, &mut report).await?;
    index::place(index.as_ref(), &mut arenas, &parts.arenas, &mut report);
    expect(&arenas, index.as_ref(), parts.bloom.as_ref(), watch);
    let mut known = index::Known::default();
    let mut search = true;
    for place in &arenas.places {
        let part = &parts.arenas[place.partition];
        let survey = arena::survey(&part.device, place, search, watch).await?;
        search &= survey.walked.clumps.is_empty();
        let sum = arena::sum(&part.device, &survey, watch).await?;
        arena::report(&part.name, &survey, sum, index.is_some(), &mut report);
        known.add(&survey);
    }
    known.sort();
    if let Some(index) = &index {
        report.index = Some(buckets::check(index, &known, watch, &mut report.findings).await?);
    }
    if let Some(part) = &parts.bloom {
        bloom::check(part, &known, watch, &mut report.findings).await?;
    }
    Ok(report)
}

/// Says how much will be read.
pub(crate) fn expect<D: BlockDevice>(
    arenas: &partition::Arenas,
    index: Option<&index::Index<'_, D>>,
    bloom: Option<&StorePart<D>>,
    watch: &mut impl Watch,
) {
    let logs: u64 = arenas.places.iter().map(partition::Place::bytes_to_read).sum();
    let bloom = bloom.map_or(0, |part| size_bytes(&part.device));
    watch.expect(logs + index.map_or(0, index::Index::bytes) + bloom);
}
