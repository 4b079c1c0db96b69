//! Whether a disk is blank, begun, or somebody's.
//!
//! Reads only. In doubt a disk is somebody's.

use super::Plan;
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes};
use crate::disk::unfinished::Unfinished;
use crate::make::is_blank;

/// Bytes that are read at each place.
const PIECE: u64 = 64 << 10;
/// Places, evenly spread, at which something may stand although both ends are zero.
const PLACES: u64 = 512;
/// Both ends: tables, labels and volumes of any kind have their beginning or a copy of it there.
const END: u64 = 1 << 20;

/// What is to be thought of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything that was looked at is zero: a whole MiB at both ends, pieces of 64 KiB at each power of two from there
    /// on (where file systems keep copies of their beginning), and at 512 places between.
    Blank,
    /// Laying it out was begun here, and nothing else was done to it.
    Unfinished(Unfinished),
    /// Something stands on it. It must not be touched.
    Used,
}

/// Looks at a disk.
///
/// # Errors
/// Those of the device.
pub async fn state<D: BlockDevice>(device: &D) -> Result<State, DeviceError> {
    let size = size_bytes(device);
    if size < 2 * END {
        return Ok(State::Used);
    }
    if let Some(begun) = Unfinished::parse(&device.read(0, 1).await?) {
        let ours = is_untouched(device, &begun).await?;
        return Ok(if ours { State::Unfinished(begun) } else { State::Used });
    }
    if !is_blank(device).await? {
        return Ok(State::Used);
    }
    let powers = core::iter::successors(Some(END), |at| at.checked_mul(2));
    let spread = (1..PLACES).map(|place| size / PLACES * place / PIECE * PIECE);
    for at in powers.take_while(|at| at + PIECE <= size).chain(spread) {
        if read_bytes(device, at, PIECE as usize).await?.iter().any(|byte| *byte != 0) {
            return Ok(State::Used);
        }
    }
    Ok(State::Blank)
}

/// Whether around the partitions there is nothing but what laying out writes there, or zeros. Somebody who gave a disk that
/// was begun another use, and left the first sector alone, is recognised by that.
async fn is_untouched<D: BlockDevice>(device: &D, begun: &Unfinished) -> Result<bool, DeviceError> {
    let Ok(plan) = Plan::new(device.sector_size(), device.sector_count(), begun.arena_len) else {
        return Ok(false);
    };
    if begun.sectors != device.sector_count() {
        return Ok(false);
    }
    let tables = plan.tables(begun);
    let sector_size = plan.sector_size as usize;
    let start = read_bytes(device, 0, END as usize).await?;
    let end_at = size_bytes(device) - END;
    let end = read_bytes(device, end_at, END as usize).await?;
    let backup = (plan.backup_at() * u64::from(plan.sector_size)).saturating_sub(end_at) as usize;
    let as_written = |found: &[u8], written: &[u8]| {
        let expected = written.chunks(sector_size).map(Some).chain(core::iter::repeat(None));
        found.chunks(sector_size).zip(expected).all(|(found, written)| {
            found.iter().all(|byte| *byte == 0) || written.is_some_and(|written| written == found)
        })
    };
    let between = end.get(..backup).unwrap_or_default();
    // The last arena may reach into the last MiB, if that is not whole; there the plan's own blocks may stand.
    let is_outside = plan.plan9.1 * u64::from(plan.sector_size) < end_at;
    Ok(as_written(start.get(sector_size..).unwrap_or_default(), &tables.primary)
        && (!is_outside || as_written(between, &[]))
        && as_written(end.get(backup..).unwrap_or_default(), &tables.backup))
}
