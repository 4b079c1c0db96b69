//! An arena's bytes in order, each read once, in small pieces; a little more than the largest clump is held.
//!
//! Sums the bytes as they pass where the arena has a seal. Sectors that cannot be read are passed over, and known. Must
//! not know what clumps mean to anyone.

use super::reader::Reader;
use crate::arena::Log;
use crate::arena::clump_io::{kind_of, unpack};
use crate::device::{BlockDevice, DeviceError, read_bytes};
use crate::format::clump::{CLUMP_HEADER_LEN, ClumpError, ClumpHeader};
use crate::format::seal::Sealer;
use crate::score::{SCORE_LEN, Score};
use crate::scrub::PIECE;
use crate::store::DamageCause;
use alloc::vec::Vec;
use bytes::Bytes;
use core::ops::Range;
use core::time::Duration;

/// Where reading an arena has come to.
pub(super) struct LogStream<'a, D, P> {
    reader: &'a Reader<'a, D, P>,
    log: Log,
    /// Offset in the log of the first byte that is no clump's.
    used: u64,
    /// Offset in the partition of the first byte held; the next to be read comes behind the last.
    held_from: u64,
    held: Vec<u8>,
    /// Offset in the partition where reading ends.
    stop: u64,
    spoiled: Vec<(Range<u64>, DeviceError)>,
    sealer: Option<Sealer>,
    last_bytes: [u8; SCORE_LEN],
}

/// What is wrong with a clump, and its header where that can be read.
pub(super) type BadClump = (DamageCause, Option<ClumpHeader>);

impl<'a, D: BlockDevice, P: AsyncFn(Duration)> LogStream<'a, D, P> {
    /// The log of an arena from `from` on; with `sealed`, the whole arena, from head to tail.
    pub(super) fn new(
        reader: &'a Reader<'a, D, P>,
        log: Log,
        from: u64,
        used: u64,
        sealed: bool,
    ) -> LogStream<'a, D, P> {
        let geometry = log.geometry;
        let base = geometry.log_base();
        let (held_from, stop) =
            if sealed { (geometry.start(), geometry.stop()) } else { (base + from, base + used) };
        LogStream {
            reader,
            log,
            used,
            held_from,
            held: Vec::new(),
            stop,
            spoiled: Vec::new(),
            sealer: sealed.then(|| Sealer::new(&geometry)),
            last_bytes: [0; SCORE_LEN],
        }
    }

    /// The clump at `offset` in the log, unpacked and hashed. What does not verify is read a second time before it is
    /// called damaged. `len`: what else is known of its length. Must not go backwards.
    pub(super) async fn clump(
        &mut self,
        offset: u64,
        len: Option<usize>,
    ) -> Result<Result<ClumpHeader, BadClump>, DeviceError> {
        let place = self.log.geometry.log_base() + offset;
        self.release(place);
        let bad = match self.once(offset).await? {
            Ok(header) => return Ok(Ok(header)),
            Err(bad) => bad,
        };
        let len = len.or(bad.1.map(|header| header.clump_len())).unwrap_or(CLUMP_HEADER_LEN);
        let len = (len as u64).min(self.used - offset) as usize;
        match read_bytes(self.reader.device, place, len).await {
            Ok(bytes) => Ok(self.check(offset, &bytes).await.map_err(|_| bad)),
            Err(DeviceError::Read { .. }) => Ok(Err(bad)),
            Err(error) => Err(error),
        }
    }

    /// The clump at `offset`, from what was read in passing.
    async fn once(&mut self, offset: u64) -> Result<Result<ClumpHeader, BadClump>, DeviceError> {
        let place = self.log.geometry.log_base() + offset;
        self.reach(place + CLUMP_HEADER_LEN as u64).await?;
        if let Some(error) = self.spoiled_in(place..place + CLUMP_HEADER_LEN as u64) {
            return Ok(Err((DamageCause::Unreadable(error), None)));
        }
        let header = match self.header(offset, self.from(place)) {
            Ok(header) => header,
            Err(cause) => return Ok(Err((cause, None))),
        };
        let end = place + header.clump_len() as u64;
        self.reach(end).await?;
        if let Some(error) = self.spoiled_in(place..end) {
            return Ok(Err((DamageCause::Unreadable(error), Some(header))));
        }
        Ok(self.check(offset, self.from(place)).await)
    }

    /// Whether a clump seems to begin at `offset`.
    pub(super) async fn is_header(&mut self, offset: u64) -> Result<bool, DeviceError> {
        let place = self.log.geometry.log_base() + offset;
        self.reach(place + CLUMP_HEADER_LEN as u64).await?;
        Ok(self.header(offset, self.from(place)).is_ok())
    }

    /// Verifies the clump that begins with these bytes, which may go on behind it.
    async fn check(&self, offset: u64, bytes: &[u8]) -> Result<ClumpHeader, BadClump> {
        let header = self.header(offset, bytes).map_err(|cause| (cause, None))?;
        let clump = bytes.get(..header.clump_len()).ok_or((DamageCause::BeyondEnd, Some(header)))?;
        let clump = Bytes::copy_from_slice(clump);
        let unpacked = self.reader.arithmetic.run_on(
            kind_of(header.encoding),
            usize::from(header.lump_len),
            move || unpack(&clump, &header).err(),
        );
        match unpacked.await {
            None => Ok(header),
            Some(cause) => Err((cause, Some(header))),
        }
    }

    fn header(&self, offset: u64, bytes: &[u8]) -> Result<ClumpHeader, DamageCause> {
        match ClumpHeader::parse(bytes, self.log.clump_magic) {
            Ok(header) if offset + header.clump_len() as u64 > self.used => Err(DamageCause::BeyondEnd),
            Ok(header) => Ok(header),
            Err(ClumpError::TooShort(_)) => Err(DamageCause::BeyondEnd),
            Err(error) => Err(DamageCause::Header(error)),
        }
    }

    /// Reads the rest of the arena, if it is summed: its sum, and the seal that stands in the tail. `Err`: a part of it
    /// cannot be read.
    pub(super) async fn finish(mut self) -> Result<Option<Result<(Score, Score), DeviceError>>, DeviceError> {
        let Some(mut next) = self.sealer.is_some().then(|| self.next()) else { return Ok(None) };
        while next < self.stop {
            self.release(next);
            self.reach(next + 1).await?;
            next = self.next();
        }
        if let Some((_, error)) = self.spoiled.first() {
            return Ok(Some(Err(*error)));
        }
        let sum = self.sealer.and_then(|sealer| sealer.finish().ok());
        Ok(sum.map(|sum| Ok((sum, Score(self.last_bytes)))))
    }

    /// Offset in the partition of the next byte to be read.
    fn next(&self) -> u64 {
        self.held_from + self.held.len() as u64
    }

    /// What is held from `place` on.
    fn from(&self, place: u64) -> &[u8] {
        self.held.get((place - self.held_from) as usize..).unwrap_or_default()
    }

    /// Lets go of what is before `place`, in large steps.
    fn release(&mut self, place: u64) {
        let gone = (place.saturating_sub(self.held_from) as usize).min(self.held.len());
        if gone >= PIECE || gone == self.held.len() {
            self.held.drain(..gone);
            self.held_from += gone as u64;
        }
    }

    /// Reads on until everything before `end` is held, or the stream ends.
    async fn reach(&mut self, end: u64) -> Result<(), DeviceError> {
        while self.next() < end.min(self.stop) {
            let next = self.next();
            // Pieces end on round borders, wherever the first begins.
            let piece_end = (next / PIECE as u64 + 1) * PIECE as u64;
            self.read_piece(next..piece_end.min(self.stop)).await?;
        }
        Ok(())
    }

    /// Reads a piece; of one that cannot be read whole, the halves, down to the sectors.
    async fn read_piece(&mut self, piece: Range<u64>) -> Result<(), DeviceError> {
        let mut waiting = alloc::vec![piece];
        while let Some(part) = waiting.pop() {
            let len = (part.end - part.start) as usize;
            match self.reader.read(part.start, len).await {
                Ok(bytes) => self.take(&bytes),
                Err(error @ DeviceError::Read { .. }) => {
                    let sector = self.reader.sector_size();
                    let border = (part.start / sector + 1) * sector;
                    if part.end <= border {
                        self.take(&alloc::vec![0; len]);
                        self.spoil(part, error);
                    } else {
                        let middle = ((part.start + part.end) / 2 / sector * sector).max(border);
                        waiting.extend([middle..part.end, part.start..middle]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if let Some(sealer) = &mut self.sealer {
            // The stream ends where the arena ends.
            let _ = sealer.update(bytes);
            let (kept, new) = (bytes.len().min(SCORE_LEN), bytes.len().saturating_sub(SCORE_LEN));
            self.last_bytes.rotate_left(kept);
            self.last_bytes[SCORE_LEN - kept..].copy_from_slice(&bytes[new..]);
        }
    }

    fn spoil(&mut self, part: Range<u64>, error: DeviceError) {
        match self.spoiled.last_mut() {
            Some((before, _)) if before.end == part.start => before.end = part.end,
            _ => self.spoiled.push((part, error)),
        }
    }

    /// Why something in this piece of the partition could not be read.
    fn spoiled_in(&self, piece: Range<u64>) -> Option<DeviceError> {
        let touches = |range: &Range<u64>| range.start < piece.end && piece.start < range.end;
        self.spoiled.iter().find(|(range, _)| touches(range)).map(|(_, error)| *error)
    }

    /// Where the next clump that verifies begins, from `offset` on; the end of the log, if there is none.
    pub(super) async fn find(&mut self, mut offset: u64) -> Result<u64, DeviceError> {
        let magic = self.log.clump_magic.to_be_bytes();
        let base = self.log.geometry.log_base();
        while offset < self.used {
            self.release(base + offset);
            self.reach(base + offset + PIECE as u64).await?;
            let held = self.from(base + offset);
            match held.windows(magic.len()).position(|window| window == magic) {
                Some(at) => {
                    offset += at as u64;
                    if self.once(offset).await?.is_ok() {
                        return Ok(offset);
                    }
                    offset += 1;
                }
                None => offset += (held.len() as u64).saturating_sub(magic.len() as u64 - 1).max(1),
            }
        }
        Ok(self.used)
    }
}
