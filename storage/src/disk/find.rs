//! Finding the parts of a device: the order in which tables are looked for.
//!
//! 0. A first sector that says that the disk is being laid out: there is nothing to find yet.
//! 1. `EFI PART` in sector 1, or a protective entry in sector 0: a GPT, from its last sector if need be.
//! 2. `part` in sector 1: a Plan 9 table at the start of the device.
//! 3. A DOS table, with its chain of extended partitions.
//! 4. Otherwise the device is one part, called `data`.
//!
//! A Plan 9 table is then looked for in each partition of that type, as prep(8) does.

use super::unfinished::Unfinished;
use super::{Complaint, Contents, DiskPart, Layout, Table, contents, gpt, mbr, prep};
use crate::device::{BlockDevice, DeviceError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

/// The shortest sectors that there are.
const SECTOR_SIZE_MIN: u32 = 512;
/// Links of a chain of extended partitions that are followed.
const EXTENDED_MAX: usize = 64;

/// Finds what is on `device`. Reads only. Anything a table says is checked against the device's size.
///
/// # Errors
/// Only those of the device. A table that makes no sense ends in [`Layout::complaints`].
pub async fn find<D: BlockDevice>(device: &D) -> Result<Layout, DeviceError> {
    let mut finder = Finder { device, parts: Vec::new(), complaints: Vec::new() };
    let table = finder.tables().await?;
    finder.judge_contents().await?;
    finder.note_overlaps();
    Ok(Layout { table, parts: finder.parts, complaints: finder.complaints })
}

/// The sectors in which the tables on `device` count, if they are shorter than its own: the image was made for another
/// disk. Looks for a GPT, and for a Plan 9 table at the start.
///
/// # Errors
/// Only those of the device.
pub async fn sector_size_of_tables<D: BlockDevice>(device: &D) -> Result<Option<u32>, DeviceError> {
    let own = device.sector_size();
    if own <= SECTOR_SIZE_MIN || device.sector_count() < 2 {
        return Ok(None);
    }
    let has_table =
        |sector: &[u8]| gpt::Header::parse(sector, gpt::PRIMARY_AT).is_ok() || prep::parse(sector).is_some();
    if has_table(&device.read(1, 1).await?) {
        return Ok(None);
    }
    let first = device.read(0, 1).await?;
    let second = |size: u32| first.get(size as usize..2 * size as usize).is_some_and(has_table);
    let mut sizes = core::iter::successors(Some(SECTOR_SIZE_MIN), |size| size.checked_mul(2));
    Ok(sizes.by_ref().take_while(|size| *size < own).find(|size| second(*size)))
}

/// Where a partition stands, before it has a name.
struct Outer {
    kind_name: String,
    first: u64,
    end: u64,
}

struct Finder<'a, D> {
    device: &'a D,
    parts: Vec<DiskPart>,
    complaints: Vec<Complaint>,
}

impl<D: BlockDevice> Finder<'_, D> {
    async fn tables(&mut self) -> Result<Table, DeviceError> {
        let sectors = self.device.sector_count();
        if sectors < 2 {
            self.add_part("data".to_string(), 0, sectors, sectors);
            return Ok(Table::None);
        }
        let first = self.device.read(0, 1).await?;
        if Unfinished::parse(&first).is_some() {
            return Ok(Table::Unfinished);
        }
        let second = self.device.read(1, 1).await?;
        let dos: Option<Vec<mbr::Entry>> = mbr::parse(&first).map(Iterator::collect);
        let protected = dos.iter().flatten().any(|entry| entry.kind == mbr::GPT_PROTECTIVE);
        match gpt::Header::parse(&second, gpt::PRIMARY_AT) {
            Err(gpt::GptError::NoSignature) if !protected => {}
            header => {
                self.gpt(header).await?;
                return Ok(Table::Gpt);
            }
        }
        if self.inner_table("data", 0, sectors, &second) {
            return Ok(Table::Plan9);
        }
        let Some(entries) = dos.filter(|entries| !entries.is_empty()) else {
            self.add_part("data".to_string(), 0, sectors, sectors);
            return Ok(Table::None);
        };
        self.dos(entries).await?;
        Ok(Table::Mbr)
    }

    async fn gpt(&mut self, primary: Result<gpt::Header, gpt::GptError>) -> Result<(), DeviceError> {
        let last = self.device.sector_count() - 1;
        let first_copy = self.gpt_entries(primary).await?;
        let other_at = primary.map_or(last, |header| header.other_sector);
        match other_at {
            at if at > last => {
                self.complaints.push(Complaint::Shrunk { expected: at.saturating_add(1), found: last + 1 })
            }
            at if at < last => self.complaints.push(Complaint::Grown { covered: at + 1, found: last + 1 }),
            _ => {}
        }
        let at = other_at.min(last);
        // Of a disk that was cut off, or is bad there, the first copy is enough.
        let second = match self.device.read(at, 1).await {
            Err(DeviceError::Read { .. }) => Err(gpt::GptError::BadHeader),
            second => gpt::Header::parse(&second?, at),
        };
        let second_copy = self.gpt_entries(second).await?;
        let entries = match (first_copy, second_copy) {
            (Ok(entries), Ok(_)) => entries,
            (Ok(entries), Err(problem)) => {
                self.complaints.push(Complaint::SecondTable(problem));
                entries
            }
            (Err(problem), Ok(entries)) => {
                self.complaints.push(Complaint::FirstTable(problem));
                entries
            }
            (Err(problem), Err(_)) => {
                self.complaints.push(Complaint::NoTable(problem));
                return Ok(());
            }
        };
        let outer = entries.iter().map(|entry| Outer {
            kind_name: gpt_kind(entry),
            first: entry.first,
            end: entry.last.saturating_add(1),
        });
        self.outer_parts(outer.collect()).await
    }

    /// The entries that a good header leads to.
    async fn gpt_entries(
        &self,
        header: Result<gpt::Header, gpt::GptError>,
    ) -> Result<Result<Vec<gpt::Entry>, gpt::GptError>, DeviceError> {
        let header = match header {
            Ok(header) => header,
            Err(problem) => return Ok(Err(problem)),
        };
        let count = header.entries_len().div_ceil(self.device.sector_size());
        let end = header.entries_at.checked_add(u64::from(count));
        if end.is_none_or(|end| end > self.device.sector_count()) {
            return Ok(Err(gpt::GptError::BadHeader));
        }
        match self.device.read(header.entries_at, count).await {
            Err(DeviceError::Read { .. }) => Ok(Err(gpt::GptError::BadHeader)),
            entries => Ok(header.entries(&entries?)),
        }
    }

    async fn dos(&mut self, entries: Vec<mbr::Entry>) -> Result<(), DeviceError> {
        let mut outer = Vec::new();
        for entry in entries {
            let first = u64::from(entry.first);
            if entry.is_extended() {
                self.extended(first, &mut outer).await?;
            } else {
                outer.push(dos_outer(&entry, 0));
            }
        }
        self.outer_parts(outer).await
    }

    /// Follows a chain: each link is a table with one partition and, perhaps, the way to the next link.
    async fn extended(&mut self, base: u64, outer: &mut Vec<Outer>) -> Result<(), DeviceError> {
        let mut at = base;
        for _ in 0..EXTENDED_MAX {
            if at == 0 || at >= self.device.sector_count() {
                break;
            }
            let Some(entries) = mbr::parse(&self.device.read(at, 1).await?) else { break };
            let mut next = None;
            for entry in entries {
                match entry.is_extended() {
                    true => next = next.or(Some(base + u64::from(entry.first))),
                    false => outer.push(dos_outer(&entry, at)),
                }
            }
            match next {
                // Every tool writes ascending chains; insisting on it makes loops impossible.
                Some(next) if next > at => at = next,
                Some(_) => break,
                None => return Ok(()),
            }
        }
        self.complaints.push(Complaint::Extended(at));
        Ok(())
    }

    async fn outer_parts(&mut self, outer: Vec<Outer>) -> Result<(), DeviceError> {
        let sectors = self.device.sector_count();
        for Outer { kind_name, first, end } in outer {
            let is_plan9 = kind_name == "plan9";
            let name = self.numbered(&kind_name);
            if !self.add_part(name.clone(), first, end, sectors) || !is_plan9 || end - first <= prep::TABLE_AT
            {
                continue;
            }
            let sector = self.device.read(first + prep::TABLE_AT, 1).await?;
            let own = self.parts.len() - 1;
            if self.inner_table(&name, first, end - first, &sector) {
                self.parts[own].contents = Contents::Parts;
            }
        }
        Ok(())
    }

    /// Adds the parts of the Plan 9 table in `sector`, if it is one.
    fn inner_table(&mut self, partition: &str, base: u64, room: u64, sector: &Bytes) -> bool {
        let Some(table) = prep::parse(sector) else { return false };
        for line in table.bad_lines {
            self.complaints.push(Complaint::Line { partition: partition.to_string(), line });
        }
        for prep::Part { name, start, end } in table.parts {
            // Two Plan 9 partitions may each have, say, arenas.
            let taken = self.parts.iter().any(|part| part.name == name);
            let name = if taken { format!("{partition}/{name}") } else { name };
            if end > room {
                self.complaints.push(Complaint::OutOfRange { name, first: start, end, room });
            } else {
                self.add_part(name, base + start, base + end, base + room);
            }
        }
        true
    }

    /// Plan 9's name for a further partition of a kind: `plan9`, `plan9.1`; without the dot where no digit is before it.
    fn numbered(&self, kind: &str) -> String {
        let dot = if kind.ends_with(|last: char| last.is_ascii_digit()) { "." } else { "" };
        let names =
            core::iter::once(kind.to_string()).chain((1_u32..).map(|number| format!("{kind}{dot}{number}")));
        let free = |name: &String| self.parts.iter().all(|part| part.name != *name);
        names.into_iter().find(free).unwrap_or_default()
    }

    fn add_part(&mut self, name: String, first: u64, end: u64, room: u64) -> bool {
        if first >= end || end > room {
            self.complaints.push(Complaint::OutOfRange { name, first, end, room });
            return false;
        }
        self.parts.push(DiskPart { name, first, count: end - first, contents: Contents::Unknown });
        true
    }

    async fn judge_contents(&mut self) -> Result<(), DeviceError> {
        let sector_size = u64::from(self.device.sector_size());
        for part in self.parts.iter_mut().filter(|part| part.contents != Contents::Parts) {
            let start = self.device.read(part.first, 1).await?;
            let header_at = contents::VENTI_HEADER_AT / sector_size;
            let header = match header_at < part.count {
                true => self.device.read(part.first + header_at, 1).await?,
                false => Bytes::new(),
            };
            part.contents = Contents::judge(&start, &header);
        }
        Ok(())
    }

    fn note_overlaps(&mut self) {
        let mut parts: Vec<&DiskPart> =
            self.parts.iter().filter(|part| part.contents != Contents::Parts).collect();
        parts.sort_by_key(|part| part.first);
        let mut reaching: Option<&DiskPart> = None;
        for part in parts {
            match reaching.filter(|before| before.overlaps(part)) {
                Some(before) => {
                    self.complaints.push(Complaint::Overlap(before.name.clone(), part.name.clone()))
                }
                None => reaching = Some(part),
            }
            reaching = reaching.into_iter().chain([part]).max_by_key(|part| part.first + part.count);
        }
    }
}

fn gpt_kind(entry: &gpt::Entry) -> String {
    match entry.kind {
        gpt::Guid::PLAN9 => "plan9".to_string(),
        gpt::Guid::EFI_SYSTEM => "esp".to_string(),
        gpt::Guid::BIOS_BOOT => "bios".to_string(),
        _ => "unknown".to_string(),
    }
}

fn dos_outer(entry: &mbr::Entry, base: u64) -> Outer {
    let kind_name = match entry.kind {
        mbr::PLAN9 => "plan9".to_string(),
        0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "dos".to_string(),
        0xef => "esp".to_string(),
        other => format!("type{other:02x}"),
    };
    let first = base + u64::from(entry.first);
    Outer { kind_name, first, end: first + u64::from(entry.count) }
}
