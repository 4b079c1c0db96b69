//! The boot disk, through the BIOS (INT 13h with its extensions: T13, "Enhanced Disk Drive 3.0").

use crate::firmware::{self, Registers, SCRATCH_LEN};
use alloc::vec::Vec;
use bytes::Bytes;
use storage::device::{BlockDevice, DeviceError};

const DISK: u8 = 0x13;
const READ: u32 = 0x4200;
/// Without reading back.
const WRITE: u32 = 0x4300;
const PARAMETERS: u32 = 0x4800;

/// Where the BIOS puts sectors: nothing of ours or of its own lies there.
const BUFFER: usize = 0x6_0000;
const BUFFER_SEGMENT: u16 = 0x6000;
/// Some BIOSes read at most 127 sectors at once, and none across 64 KiB.
const REQUEST_LEN_MAX: u32 = 127 * 512;

/// The disk that we were started from.
#[derive(Clone, Copy, Debug)]
pub struct BiosDisk {
    drive: u8,
    sector_size: u32,
    sectors: u64,
}

/// The BIOS does not describe its disk, or in numbers that make no sense.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the BIOS says of disk {drive:#x}: {sectors} sectors of {sector_size} bytes; that cannot be")]
pub struct NoDisk {
    drive: u8,
    sector_size: u32,
    sectors: u64,
}

impl BiosDisk {
    /// The disk with this number.
    pub fn open(drive: u8) -> Result<BiosDisk, NoDisk> {
        let mut scratch = [0; SCRATCH_LEN];
        // The result's length: so much is filled in at most.
        scratch[0] = 0x1e;
        let answer = call(PARAMETERS, drive, &mut scratch);
        let [.., s0, s1, s2, s3, s4, s5, s6, s7, b0, b1, _, _, _, _, _, _] = scratch;
        let sectors = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
        let sector_size = u32::from(u16::from_le_bytes([b0, b1]));
        let sensible = sector_size.is_power_of_two() && (512..=4096).contains(&sector_size) && sectors > 0;
        if answer.failed() || !sensible {
            return Err(NoDisk { drive, sector_size, sectors });
        }
        Ok(BiosDisk { drive, sector_size, sectors })
    }

    fn read_some(&self, first: u64, count: u32, target: &mut Vec<u8>) -> Result<(), DeviceError> {
        if self.transfer(READ, first, count) {
            return Err(DeviceError::Read { first, count: u64::from(count) });
        }
        let len = (count * self.sector_size) as usize;
        let buffer = core::ptr::with_exposed_provenance(BUFFER);
        // SAFETY: 64 KiB are set aside there, `len` is at most that, and the BIOS has returned.
        target.extend_from_slice(unsafe { core::slice::from_raw_parts(buffer, len) });
        Ok(())
    }

    fn write_some(&self, first: u64, count: u32, data: &[u8]) -> Result<(), DeviceError> {
        let buffer: *mut u8 = core::ptr::with_exposed_provenance_mut(BUFFER);
        // SAFETY: 64 KiB are set aside there, and `data` has at most a request's length.
        unsafe { buffer.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        match self.transfer(WRITE, first, count) {
            true => Err(DeviceError::Write { first, count: u64::from(count) }),
            false => Ok(()),
        }
    }

    /// Moves sectors between disk and buffer; `true`: the BIOS says that it failed.
    fn transfer(&self, service: u32, first: u64, count: u32) -> bool {
        let mut packet = [0; SCRATCH_LEN];
        packet[0] = 16;
        packet[2..4].copy_from_slice(&(count as u16).to_le_bytes());
        packet[6..8].copy_from_slice(&BUFFER_SEGMENT.to_le_bytes());
        packet[8..16].copy_from_slice(&first.to_le_bytes());
        call(service, self.drive, &mut packet).failed()
    }
}

fn call(service: u32, drive: u8, scratch: &mut [u8; SCRATCH_LEN]) -> Registers {
    let esi = firmware::scratch_address();
    let registers = Registers { eax: service, edx: u32::from(drive), esi, ..Registers::default() };
    // SAFETY: the services used here write to scratch memory, or to the buffer that the packet names.
    unsafe { firmware::call(DISK, registers, scratch) }
}

impl BlockDevice for BiosDisk {
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
        let request = REQUEST_LEN_MAX / self.sector_size;
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
        let request = REQUEST_LEN_MAX / self.sector_size;
        let pieces = data.chunks((request * self.sector_size) as usize);
        for (at, piece) in (first..).step_by(request as usize).zip(pieces) {
            self.write_some(at, piece.len() as u32 / self.sector_size, piece)?;
        }
        Ok(())
    }

    /// A BIOS has no such service: its writes are as durable as they get when they have returned.
    async fn flush(&self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// There is nothing to flush.
    fn failed_flushes(&self) -> u64 {
        0
    }
}
