//! A disk that was laid out here and has grown since: its new room becomes arenas, and, while nothing is stored yet, a
//! larger index.
//!
//! Knows the order of the writes. Must not know when a node grows, nor how arenas join a store that is open: whoever opens
//! it adopts what [`is_addition`] names.
//!
//! 1. Both partition tables cover the disk ([`own`](super::own)).
//! 2. Index and arenas are formatted behind the last part of the Plan 9 partition, where no table says that anything is.
//! 3. Venti's configuration names the new arenas. Until the next step it names what is not there, and counts for nothing.
//! 4. The table inside the Plan 9 partition names the new parts: one sector. Before, the store is the old one; from then
//!    on it has arenas that its index does not know yet.
//!
//! Each step is durable before the next. What was there is neither moved nor written; an index that is replaced is empty,
//! and loses its name only.

use super::own::{Own, own};
use super::{ALIGNMENT, INDEX_NAME, LARGE_ARENAS_FROM_LEN};
use crate::Timestamp;
use crate::device::{BlockDevice, DeviceError, read_bytes, size_bytes, write_bytes};
use crate::disk::prep::{self, Part};
use crate::disk::survey::{NamedDisk, Survey, survey};
use crate::disk::venti_conf::is_named;
use crate::format::Name;
use crate::format::arena_tail::Counters;
use crate::format::config::{CONFIG_LEN, CONFIG_OFFSET, VentiConfig};
use crate::format::prelude::BLOCK_SIZE_DEFAULT;
use crate::make::{MakeError, MoreArenas, arenas, index, section};
use crate::partition::{Partition, PartitionOutsideDisk};
use crate::store::{Store, StoreSettings, StoreStatus};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// Less room than this is left alone.
const ROOM_MIN: u64 = 64 << 20;
/// Arenas that the room is made of, at most: the index's map has a line for each.
const ARENAS_MAX: u64 = 2048;
/// What disks write whole, at the least; venti's configuration is changed within one.
const WHOLE: usize = 512;

/// What a disk gave to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The new part; `None` if only the tables had to follow the disk.
    pub part: Option<String>,
    /// Arenas in it.
    pub arenas: usize,
    /// Its bytes.
    pub bytes: u64,
    /// The index was replaced by one of so many bytes.
    pub index: Option<u64>,
}

/// Why a disk was not used to its end. What is stored is as it was; the next start goes on.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The disk.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A part of the store.
    #[error(transparent)]
    Make(#[from] MakeError),
    /// A part that is not on the disk.
    #[error(transparent)]
    Outside(#[from] PartitionOutsideDisk),
    /// The table inside the Plan 9 partition.
    #[error("the table of the Plan 9 partition: {0}")]
    Table(#[from] prep::EncodeError),
    /// The store as it is does not open.
    #[error("the store does not open, and nothing is added to it: {0}")]
    Store(String),
    /// Venti's configuration has no room for a line, or its last line has no end.
    #[error(
        "venti's configuration in the partition {0} takes no further line: give it with venti/conf -w a text that is \
         shorter than 480 bytes and ends with a newline"
    )]
    Config(String),
}

/// Uses what `disk` has grown by; `None` where there is nothing to do, or the disk was not laid out here. `disks` are all of
/// the machine's: the store must open, and says what its next arenas are called.
///
/// # Errors
/// See [`GrowError`].
pub async fn grow<D: BlockDevice + Clone + 'static>(
    disk: &NamedDisk<D>,
    disks: &[NamedDisk<D>],
    settings: StoreSettings,
    now: Timestamp,
    random: impl FnMut() -> u32,
) -> Result<Option<Grown>, GrowError> {
    let device = &disk.device;
    let Some(mut own) = own(device).await? else { return Ok(None) };
    let moved = own.cover_all(device).await?;
    let only_tables = moved.then_some(Grown { part: None, arenas: 0, bytes: 0, index: None });
    let Some(room) = Room::of(device, &own).await? else { return Ok(only_tables) };
    let found = survey(disks).await;
    let name_of = |part: &str| format!("{}/{part}", disk.name);
    if !found.parts.arenas.iter().any(|part| part.name == name_of("arenas")) {
        return Ok(only_tables);
    }
    let settings = StoreSettings { read_only: true, ..settings };
    let opened = Store::open(found.parts.clone(), settings, now).await;
    let (store, report) = opened.map_err(|error| GrowError::Store(error.to_string()))?;
    let status = store.status();
    drop(store);
    let Some(more) = MoreArenas::like(&status.arenas) else { return Ok(only_tables) };
    let more = more.behind(report.unmapped.iter().copied());
    let is_whole = report.damage.is_empty() && report.unmapped.is_empty();
    let index_len =
        room.index_len(&status).filter(|_| is_whole && has_one_section(&found, &name_of("isect")));
    room.use_up(device, &own, more, index_len.map(|len| (len, &status)), random).await.map(Some)
}

/// Whether a partition of arenas was added by [`grow`](fn@grow): its name is the first one's, with a number.
pub fn is_addition(part: &str) -> bool {
    let name = part.rsplit('/').next().unwrap_or(part);
    let number = name.strip_prefix("arenas").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn has_one_section<D>(survey: &Survey<D>, name: &str) -> bool {
    matches!(&survey.parts.index_sections[..], [only] if only.name == name)
}

/// What no table names, behind the last part of the Plan 9 partition.
struct Room {
    table: Vec<Part>,
    /// First sector, and one past the last, from the partition's first one on.
    start: u64,
    end: u64,
    sector_size: u64,
    disk_len: u64,
}

impl Room {
    async fn of<D: BlockDevice>(device: &D, own: &Own) -> Result<Option<Room>, DeviceError> {
        let (first, count) = own.plan9();
        let sector = device.read(first + prep::TABLE_AT, 1).await?;
        let Some(table) = prep::parse(&sector).filter(|table| table.bad_lines.is_empty()) else {
            return Ok(None);
        };
        let sector_size = u64::from(device.sector_size());
        let has = |name: &str| table.parts.iter().any(|part| part.name == name);
        let used = table.parts.iter().map(|part| part.end).max().unwrap_or_default();
        let start = used.checked_next_multiple_of(ALIGNMENT / sector_size).unwrap_or(count);
        let room = count.saturating_sub(start).saturating_mul(sector_size);
        let is_ours = ["9fat", "nvram", "isect", "arenas"].into_iter().all(has);
        let disk_len = size_bytes(device);
        let found = || Room { table: table.parts, start, end: count, sector_size, disk_len };
        Ok((is_ours && room >= ROOM_MIN).then(found))
    }

    fn sectors(&self, len: u64) -> u64 {
        len / self.sector_size
    }

    fn bytes(&self) -> u64 {
        (self.end - self.start) * self.sector_size
    }

    /// Bytes of the index that a store without blocks should have, if that is more than twice what it has: a twentieth
    /// of its arenas, as venti's manual advises.
    fn index_len(&self, status: &StoreStatus) -> Option<u64> {
        if status.arenas.iter().any(|arena| arena.current != Counters::default()) {
            return None;
        }
        let has = self.table.iter().find(|part| part.name == "isect");
        let has = has.map_or(0, |part| part.end - part.start) * self.sector_size;
        let arenas: u64 = status.arenas.iter().map(|arena| arena.size).sum();
        let wants = ((arenas + self.bytes()) / 20).next_multiple_of(ALIGNMENT);
        (wants > 2 * has && wants + ROOM_MIN <= self.bytes()).then_some(wants)
    }

    /// The parts that there will be: a new `isect` of so many bytes, perhaps, and new arenas, which are the last.
    fn parts(&self, index_len: Option<u64>) -> Vec<Part> {
        let mut parts = self.table.clone();
        let mut start = self.start;
        if let Some(len) = index_len {
            parts.retain(|part| part.name != "isect");
            let end = start + self.sectors(len);
            parts.push(Part { name: "isect".into(), start, end });
            start = end;
        }
        let free = |name: &String| parts.iter().all(|part| part.name != *name);
        let name = (1_u32..).map(|number| format!("arenas{number}")).find(free).unwrap_or_default();
        parts.push(Part { name, start, end: self.end });
        parts.sort_by_key(|part| part.start);
        parts
    }

    /// The second to the fourth step.
    async fn use_up<D: BlockDevice + Clone>(
        &self,
        device: &D,
        own: &Own,
        mut more: MoreArenas,
        new_index: Option<(u64, &StoreStatus)>,
        mut random: impl FnMut() -> u32,
    ) -> Result<Grown, GrowError> {
        let parts = self.parts(new_index.map(|(len, _)| len));
        let table = prep::encode(&parts, self.sector_size as usize)?;
        let window = |name: &str| {
            let part = parts.iter().find(|part| part.name == name);
            // Both were put there above.
            let (start, end) = part.map_or((0, 0), |part| (part.start, part.end));
            Partition::new(name, device.clone(), own.plan9().0 + start, end - start)
        };
        let name = parts.last().map(|part| part.name.clone()).unwrap_or_default();
        let of_arenas = window(&name)?;
        let config = changed_config(&window("arenas")?, &name).await?;
        let bytes = size_bytes(&of_arenas);
        let large = if self.disk_len > LARGE_ARENAS_FROM_LEN { 2 << 30 } else { 0 };
        let least = bytes.div_ceil(ARENAS_MAX).next_multiple_of(ALIGNMENT);
        more.arena_len = more.arena_len.max(large).max(least);
        if let Some((_, status)) = new_index {
            make_index(window("isect")?, status, random().max(1)).await?;
        }
        let map = arenas(&of_arenas, more.options(), &mut random, |_, _| ()).await?;
        device.flush().await?;
        if let Some(block) = config {
            let sector = block.slice(..WHOLE.max(self.sector_size as usize));
            write_bytes(&window("arenas")?, CONFIG_OFFSET, sector).await?;
            device.flush().await?;
        }
        device.write(own.plan9().0 + prep::TABLE_AT, Bytes::from(table)).await?;
        device.flush().await?;
        let index = new_index.map(|(len, _)| len);
        Ok(Grown { part: Some(name), arenas: map.ranges().len(), bytes, index })
    }
}

/// An empty index with the arenas that the store has.
async fn make_index<D: BlockDevice>(device: D, status: &StoreStatus, magic: u32) -> Result<(), MakeError> {
    let mut sections = [section(device, "isect", BLOCK_SIZE_DEFAULT, magic).await?];
    let known: Vec<(Name, u64)> = status.arenas.iter().map(|arena| (arena.name, arena.size)).collect();
    index(INDEX_NAME, &mut sections, known).await?;
    Ok(())
}

/// The configuration in the first arenas with a line for the new ones; `None` where there is none, or it has that line.
async fn changed_config<D: BlockDevice>(arenas: &D, new: &str) -> Result<Option<Bytes>, GrowError> {
    let block = read_bytes(arenas, CONFIG_OFFSET, CONFIG_LEN).await?;
    // One that is wrong counts for nothing, with a further line or without.
    let Ok(config) = VentiConfig::parse_block(&block) else { return Ok(None) };
    let Some(path) = config.arenas.iter().find(|path| is_named(path, "arenas")) else { return Ok(None) };
    let path = format!("{}{new}", path.strip_suffix("arenas").unwrap_or_default());
    if config.arenas.contains(&path) {
        return Ok(None);
    }
    let end = block.iter().position(|byte| *byte == 0).unwrap_or(block.len());
    let line = format!("arenas {path}\n");
    let has_room = end + line.len() <= WHOLE && block.get(end.saturating_sub(1)) == Some(&b'\n');
    if !has_room {
        return Err(GrowError::Config("arenas".into()));
    }
    let mut changed = block.to_vec();
    changed
        .get_mut(end..end + line.len())
        .into_iter()
        .for_each(|place| place.copy_from_slice(line.as_bytes()));
    Ok(Some(Bytes::from(changed)))
}
