//! Disks, through the firmware's block I/O.

use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use storage::device::{BlockDevice, DeviceError};
use uefi::Handle;
use uefi::boot::{self, OpenProtocolAttributes, OpenProtocolParams, ScopedProtocol};
use uefi::mem::memory_map::MemoryType;
use uefi::proto::ProtocolPointer;
use uefi::proto::device_path::DevicePath;
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::media::block::BlockIO;

/// What is read at once: drivers of firmwares are not made for more.
const REQUEST_LEN: usize = 256 << 10;
const PAGE: usize = 4096;

/// A whole disk.
pub struct EfiDisk {
    protocol: RefCell<ScopedProtocol<BlockIO>>,
    sector_size: u32,
    sectors: u64,
    /// Where the firmware puts sectors: pages, as some drivers want them aligned.
    buffer: RefCell<&'static mut [u8]>,
    is_ours: bool,
}

/// All disks that can be read, the one that we were started from first.
pub fn all() -> Vec<EfiDisk> {
    let own_path = own_path();
    let handles = boot::find_handles::<BlockIO>().unwrap_or_default();
    let mut disks: Vec<EfiDisk> =
        handles.into_iter().filter_map(|handle| EfiDisk::open(handle, own_path.as_deref())).collect();
    disks.sort_by_key(|disk| !disk.is_ours);
    disks
}

/// Opens a protocol beside the drivers that use it: taking it from them would stop them.
pub fn open<P: ProtocolPointer + ?Sized>(handle: Handle) -> Option<ScopedProtocol<P>> {
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: handles stay while nobody is connected or disconnected, which we never do, and nothing runs beside us.
    unsafe { boot::open_protocol(params, OpenProtocolAttributes::GetProtocol) }.ok()
}

/// The path of the partition that this loader was read from.
fn own_path() -> Option<Vec<u8>> {
    let image = open::<LoadedImage>(boot::image_handle())?;
    let path = open::<DevicePath>(image.device()?)?;
    Some(path_nodes(&path).to_vec())
}

/// A path without the node that ends it.
fn path_nodes(path: &DevicePath) -> &[u8] {
    let bytes = path.as_bytes();
    &bytes[..bytes.len().saturating_sub(4)]
}

impl EfiDisk {
    fn open(handle: Handle, own_path: Option<&[u8]>) -> Option<EfiDisk> {
        let protocol = open::<BlockIO>(handle)?;
        let media = protocol.media();
        let (sector_size, last) = (media.block_size(), media.last_block());
        let whole = media.is_media_present() && !media.is_logical_partition();
        let sensible = sector_size.is_power_of_two() && (512..=REQUEST_LEN as u32).contains(&sector_size);
        if !whole || !sensible {
            return None;
        }
        let sectors = last.checked_add(1)?;
        let path = open::<DevicePath>(handle);
        let is_ours = path.is_some_and(|path| {
            let nodes = path_nodes(&path);
            !nodes.is_empty() && own_path.is_some_and(|own| own.starts_with(nodes))
        });
        let buffer =
            boot::allocate_pages(boot::AllocateType::AnyPages, MemoryType::LOADER_DATA, REQUEST_LEN / PAGE);
        let start = buffer.ok()?;
        // SAFETY: pages just allocated, and never freed.
        unsafe { start.write_bytes(0, REQUEST_LEN) };
        // SAFETY: as above, and they hold zeros now.
        let buffer = unsafe { core::slice::from_raw_parts_mut(start.as_ptr(), REQUEST_LEN) };
        let (protocol, buffer) = (RefCell::new(protocol), RefCell::new(buffer));
        Some(EfiDisk { protocol, sector_size, sectors, buffer, is_ours })
    }

    /// What to call it.
    pub fn name(&self) -> &'static str {
        if self.is_ours { "the boot disk" } else { "another disk" }
    }

    fn read_some(&self, first: u64, count: u32, target: &mut Vec<u8>) -> Result<(), DeviceError> {
        let mut protocol = self.protocol.borrow_mut();
        let mut buffer = self.buffer.borrow_mut();
        let sectors = &mut buffer[..(count * self.sector_size) as usize];
        let media = protocol.media().media_id();
        protocol
            .read_blocks(media, first, sectors)
            .map_err(|_| DeviceError::Read { first, count: u64::from(count) })?;
        target.extend_from_slice(sectors);
        Ok(())
    }
}

impl BlockDevice for EfiDisk {
    fn sector_size(&self) -> u32 {
        self.sector_size
    }

    fn sector_count(&self) -> u64 {
        self.sectors
    }

    async fn read(&self, first: u64, count: u32) -> Result<Bytes, DeviceError> {
        let end = first.checked_add(u64::from(count)).filter(|end| *end <= self.sectors);
        if end.is_none() {
            return Err(DeviceError::OutOfBounds { first, count: u64::from(count) });
        }
        let mut data = Vec::with_capacity(count as usize * self.sector_size as usize);
        let request = REQUEST_LEN as u32 / self.sector_size;
        let mut done = 0;
        while done < count {
            let some = request.min(count - done);
            self.read_some(first + u64::from(done), some, &mut data)?;
            done += some;
        }
        Ok(data.into())
    }

    async fn write(&self, first: u64, data: Bytes) -> Result<(), DeviceError> {
        let count = data.len() as u64 / u64::from(self.sector_size);
        if first.checked_add(count).is_none_or(|end| end > self.sectors) {
            return Err(DeviceError::OutOfBounds { first, count });
        }
        let mut protocol = self.protocol.borrow_mut();
        let mut buffer = self.buffer.borrow_mut();
        let media = protocol.media().media_id();
        let request = REQUEST_LEN / self.sector_size as usize;
        let pieces = data.chunks(request * self.sector_size as usize);
        for (at, piece) in (first..).step_by(request).zip(pieces) {
            buffer[..piece.len()].copy_from_slice(piece);
            let written = protocol.write_blocks(media, at, &buffer[..piece.len()]);
            written.map_err(|_| DeviceError::Write { first, count })?;
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.protocol.borrow_mut().flush_blocks().map_err(|_| DeviceError::Flush)
    }

    /// There is nothing to flush.
    fn failed_flushes(&self) -> u64 {
        0
    }
}
