//! Reading a log in order, clump by clump, without trusting anything but what verifies.
//!
//! Knows how to find the next clump behind bytes that are none. Must not know what to do about damage.

use super::clump_io::unpack;
use crate::device::{BlockDevice, DeviceError, read_twice};
use crate::format::clump::{CLUMP_HEADER_LEN, CLUMP_LEN_MAX, ClumpError, ClumpHeader};
use crate::format::geometry::ArenaGeometry;
use crate::store::DamageCause;
use bytes::Bytes;

/// Bytes read at once.
const CHUNK: u64 = 1 << 20;

/// A place in a log, with the bytes around it.
pub(crate) struct LogCursor<'a, D> {
    device: &'a D,
    geometry: ArenaGeometry,
    magic: u32,
    /// First offset in the log that cannot belong to a clump.
    limit: u64,
    chunk: Bytes,
    chunk_offset: u64,
}

impl<'a, D: BlockDevice> LogCursor<'a, D> {
    /// Reads the log of an arena whose clumps begin with `magic`, up to `limit`.
    pub(crate) fn new(device: &'a D, geometry: ArenaGeometry, magic: u32, limit: u64) -> LogCursor<'a, D> {
        LogCursor { device, geometry, magic, limit, chunk: Bytes::new(), chunk_offset: 0 }
    }

    /// The bytes at `offset`: `need` of them if the log goes on that far, perhaps more.
    pub(crate) async fn bytes(&mut self, offset: u64, need: usize) -> Result<Bytes, DeviceError> {
        let need = (need as u64).min(self.limit.saturating_sub(offset)) as usize;
        let inside = offset.checked_sub(self.chunk_offset).filter(|at| *at <= self.chunk.len() as u64);
        if let Some(at) = inside
            && self.chunk.len() - at as usize >= need
        {
            return Ok(self.chunk.slice(at as usize..));
        }
        let place = self.geometry.log_base() + offset;
        let len = CHUNK.max(need as u64).min(self.limit.saturating_sub(offset)) as usize;
        match read_twice(self.device, place, len).await {
            Ok(chunk) => {
                self.chunk = chunk.clone();
                self.chunk_offset = offset;
                Ok(chunk)
            }
            // One bad sector must not hide its neighbours.
            Err(DeviceError::Read { .. }) if len > need => read_twice(self.device, place, need).await,
            Err(error) => Err(error),
        }
    }

    /// The header at `offset`. Only [`DeviceError::Gone`] is an error of the device; sectors that cannot be read are
    /// damage.
    pub(crate) async fn header(
        &mut self,
        offset: u64,
    ) -> Result<Result<ClumpHeader, DamageCause>, DeviceError> {
        let bytes = match self.bytes(offset, CLUMP_HEADER_LEN).await {
            Ok(bytes) => bytes,
            Err(error @ DeviceError::Read { .. }) => return Ok(Err(DamageCause::Unreadable(error))),
            Err(error) => return Err(error),
        };
        Ok(match ClumpHeader::parse(&bytes, self.magic) {
            Ok(header) if offset + header.clump_len() as u64 > self.limit => Err(DamageCause::BeyondEnd),
            Ok(header) => Ok(header),
            Err(ClumpError::TooShort(_)) => Err(DamageCause::BeyondEnd),
            Err(error) => Err(DamageCause::Header(error)),
        })
    }

    /// The clump at `offset`, its lump unpacked and hashed.
    pub(crate) async fn verified(
        &mut self,
        offset: u64,
    ) -> Result<Result<ClumpHeader, DamageCause>, DeviceError> {
        match self.header(offset).await? {
            Ok(header) => self.verified_as(offset, header).await,
            Err(cause) => Ok(Err(cause)),
        }
    }

    /// The clump at `offset` as if `header` stood there: its lump unpacked and hashed.
    pub(crate) async fn verified_as(
        &mut self,
        offset: u64,
        header: ClumpHeader,
    ) -> Result<Result<ClumpHeader, DamageCause>, DeviceError> {
        let clump = match self.bytes(offset, header.clump_len()).await {
            Ok(clump) => clump,
            Err(error @ DeviceError::Read { .. }) => return Ok(Err(DamageCause::Unreadable(error))),
            Err(error) => return Err(error),
        };
        Ok(unpack(&clump, &header).map(|_| header))
    }

    /// The first clump that verifies and begins in `from..until`.
    pub(crate) async fn find(&mut self, from: u64, until: u64) -> Result<Option<u64>, DeviceError> {
        let magic = self.magic.to_be_bytes();
        let mut at = from;
        while at < until.min(self.limit) {
            let bytes = match self.bytes(at, CLUMP_LEN_MAX).await {
                Ok(bytes) => bytes,
                Err(DeviceError::Read { .. }) => {
                    at += u64::from(self.device.sector_size());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let Some(found) = bytes.windows(magic.len()).position(|window| window == magic) else {
                at += (bytes.len() as u64).saturating_sub(magic.len() as u64 - 1).max(1);
                continue;
            };
            at += found as u64;
            if at < until && self.verified(at).await?.is_ok() {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }
}
