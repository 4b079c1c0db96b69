//! SCSI disks of virtual machines (VIRTIO 1.2, section 5.6): the default disks of several clouds.
//!
//! Knows the requests that carry SCSI commands, and finding the disks behind the device. Must not know what a command
//! means, which `command` does, nor who waits, which `drive` does.
//!
//! One request queue. The control queue stays unused: a command that gets no answer is ended by a reset of the device,
//! after which nothing of it is left; and the event queue does, as disks are not added while the node runs.

mod command;
#[cfg(test)]
mod tests;

use super::buffer::DmaBuffer;
use super::ring::{Chain, LARGEST, Parts, Ring};
use super::{begin, consistent, feature, negotiate, reset};
use crate::drive::{
    Engine, Geometry, Kind, Memory, Problem, REQUEST_MAX, Recovery, Verdict, Work, wait_until,
};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use command::{ANSWER_LEN, CDB_LEN, Cdb};
use core::marker::PhantomData;
use core::time::Duration;
use virtio_drivers::Hal;
use virtio_drivers::transport::{DeviceStatus, Transport};

const REQUEST_QUEUE: u16 = 2;
/// Header, data, response.
const PARTS: u16 = 3;

const MAX_SECTORS_AT: usize = 8;
const SENSE_SIZE_AT: usize = 20;
const CDB_SIZE_AT: usize = 24;
const MAX_TARGET_AT: usize = 30;
/// What the device starts with after a reset, and we leave as it is.
const SENSE_LEN: usize = 96;

const HEADER_LEN: usize = 19 + CDB_LEN;
const RESPONSE_LEN: usize = 12 + SENSE_LEN;
const CONTROL_LEN: usize = HEADER_LEN + RESPONSE_LEN;

/// What the device writes of how it passed the command on (5.6.6.1.1).
mod response {
    pub(super) const OK: u8 = 0;
    pub(super) const BAD_TARGET: u8 = 3;
    pub(super) const RESET: u8 = 4;
    pub(super) const BUSY: u8 = 5;
    /// What we write there: a device that does not has failed.
    pub(super) const UNSET: u8 = 0xff;
}

/// A number that no slot has: of the questions asked while disks are sought.
const QUESTION: u16 = u16::MAX;
/// How long the answer to one of them may take.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
/// Units whose disks are used.
const UNITS_MAX: usize = 64;
/// News that a disk may have before it answers a question.
const ATTENTIONS_MAX: usize = 8;

/// One logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) target: u8,
    pub(crate) lun: u16,
}

/// A disk that was found.
pub(crate) struct ScsiDisk {
    pub(crate) place: Place,
    pub(crate) geometry: Geometry,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) guid: String,
}

/// A request that the device has. The work's memory is held here, too.
struct Request {
    /// Header and response.
    control: DmaBuffer,
    work: Work,
    slot: u16,
}

// SAFETY: `parts` names memory of `control`, owned by the request alone, and of the work: a buffer of which nobody sees
// the inside without holding the last reference, or bytes that nobody can write. None of it moves with the request, and
// work is never of zero length but for flushes and questions, which have none.
unsafe impl Chain for Request {
    fn parts(&self) -> Parts {
        let parts = Parts::default().readable(self.control.part(0..HEADER_LEN));
        let response = self.control.part(HEADER_LEN..CONTROL_LEN);
        match &self.work.memory {
            Memory::Source(_) => parts.readable(self.work.part()).writable(response),
            Memory::Target(..) => parts.writable(response).writable(self.work.part()),
            Memory::None => parts.writable(response),
        }
    }
}

impl Request {
    fn wanted(&self) -> usize {
        if matches!(self.work.memory, Memory::Target(..)) { self.work.part().len() } else { 0 }
    }

    /// The device's verdict, given that it claims to have written `written` bytes; and the bytes of data that came.
    fn outcome(&mut self, written: u32) -> (Verdict, usize) {
        let wanted = self.wanted();
        let response = &self.control.bytes()[HEADER_LEN..];
        let number =
            |at: usize| response[at..at + 4].iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte));
        let (sense_len, residual) = (number(0), number(4));
        let came = wanted.saturating_sub(residual).min((written as usize).saturating_sub(RESPONSE_LEN));
        let verdict = match response[11] {
            response::OK => command::verdict(response[10], &response[12..][..sense_len.min(SENSE_LEN)]),
            response::BUSY => Verdict::NotStarted,
            response::RESET => Verdict::Restarted,
            response::BAD_TARGET => Verdict::Failed,
            _ => Verdict::Unsure,
        };
        (verdict, came)
    }
}

/// The device.
pub(crate) struct Scsi<T: Transport, H: Hal + 'static> {
    transport: T,
    /// Absent if the device did not come back.
    ring: Option<Ring<Request>>,
    depth: usize,
    spare: Vec<DmaBuffer>,
    units: Vec<Place>,
    hal: PhantomData<H>,
}

impl<T: Transport, H: Hal + 'static> Scsi<T, H> {
    /// Starts the device and looks for its disks; their places in the list are the numbers of units.
    pub(crate) async fn open(
        mut transport: T,
        pause: &impl AsyncFn(Duration),
    ) -> Result<(Scsi<T, H>, Vec<ScsiDisk>), Problem> {
        let ring = Self::start(&mut transport)?;
        let field = |transport: &T, at| consistent(transport, |t| t.read_config_space::<u32>(at));
        let (sense, cdb) = (field(&transport, SENSE_SIZE_AT)?, field(&transport, CDB_SIZE_AT)?);
        let depth = ring.capacity(PARTS);
        let mut scsi = Scsi {
            transport,
            ring: Some(ring),
            depth,
            spare: Vec::new(),
            units: Vec::new(),
            hal: PhantomData,
        };
        if (sense as usize, cdb as usize) != (SENSE_LEN, CDB_LEN) {
            return Err(Problem::Unusable { what: "the size of its commands", value: cdb.into() });
        }
        let sectors_max = field(&scsi.transport, MAX_SECTORS_AT)?;
        let request_max = if sectors_max == 0 { REQUEST_MAX } else { sectors_max.saturating_mul(512) };
        let target_max = consistent(&scsi.transport, |t| t.read_config_space::<u16>(MAX_TARGET_AT))?;
        let mut disks = Vec::new();
        for target in 0..=target_max.min(255) as u8 {
            for lun in scsi.luns(target, pause).await? {
                if disks.len() < UNITS_MAX
                    && let Some(disk) = scsi.examine_unit(Place { target, lun }, request_max, pause).await?
                {
                    scsi.units.push(disk.place);
                    disks.push(disk);
                }
            }
        }
        Ok((scsi, disks))
    }

    fn start(transport: &mut T) -> Result<Ring<Request>, Problem> {
        let features = negotiate(transport, feature::INDIRECT_DESC)?;
        let indirect = features & feature::INDIRECT_DESC != 0;
        let ring = Ring::open::<H, T>(transport, REQUEST_QUEUE, LARGEST, indirect)?;
        begin(transport)?;
        Ok(ring)
    }

    /// The logical units of a target; none where there is no target.
    async fn luns(&mut self, target: u8, pause: &impl AsyncFn(Duration)) -> Result<Vec<u16>, Problem> {
        let place = Place { target, lun: 0 };
        if self.ask(place, &command::inquiry(None), pause).await?.is_none() {
            return Ok(Vec::new());
        }
        let answer = self.ask(place, &command::report_luns(), pause).await?;
        Ok(answer.map_or_else(|| alloc::vec![0], |answer| command::luns(&answer)))
    }

    /// What stands at `place`, if it is a disk that can be used.
    async fn examine_unit(
        &mut self,
        place: Place,
        request_max: u32,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Option<ScsiDisk>, Problem> {
        let answer = self.ask(place, &command::inquiry(None), pause).await?;
        let Some(model) = answer.as_deref().and_then(command::model) else { return Ok(None) };
        self.ask(place, &command::test_unit_ready(), pause).await?;
        let mut page =
            async |cdb: Cdb| Ok::<_, Problem>(self.ask(place, &cdb, pause).await?.unwrap_or_default());
        let serial = command::serial(&page(command::inquiry(Some(command::PAGE_SERIAL))).await?);
        let guid = command::guid(&page(command::inquiry(Some(command::PAGE_NAMES))).await?);
        let limits = page(command::inquiry(Some(command::PAGE_LIMITS))).await?;
        let capacity = page(command::read_capacity()).await?;
        let caching = self.ask(place, &command::mode_sense_caching(), pause).await?;
        match command::geometry(&capacity, &limits, caching.as_deref(), request_max) {
            Ok(geometry) => Ok(Some(ScsiDisk { place, geometry, model, serial, guid })),
            Err(problem) => {
                log::error!("scsi target {} lun {}: the disk {problem}", place.target, place.lun);
                Ok(None)
            }
        }
    }

    /// One question, waited for. `None`: the unit does not answer it.
    async fn ask(
        &mut self,
        place: Place,
        cdb: &Cdb,
        pause: &impl AsyncFn(Duration),
    ) -> Result<Option<Vec<u8>>, Problem> {
        for _ in 0..ATTENTIONS_MAX {
            let target = Rc::new(DmaBuffer::allocate(ANSWER_LEN).ok_or(Problem::Memory)?);
            let has_data = *cdb != command::test_unit_ready();
            let memory = if has_data { Memory::Target(target.clone(), 0..ANSWER_LEN) } else { Memory::None };
            let work = Work { unit: 0, kind: Kind::Read, first: 0, sectors: 0, memory };
            if !self.hand_over(place, cdb, work, QUESTION) {
                return Err(Problem::Memory);
            }
            let mut answer = Ok(None);
            wait_until(QUESTION_LIMIT, pause, || {
                answer = self.take();
                !matches!(answer, Ok(None))
            })
            .await;
            let Some((_, verdict, came)) = answer? else { return Err(Problem::Slow("answer")) };
            match verdict {
                Verdict::Done => {
                    let bytes = Rc::into_inner(target).map(|mut target| target.bytes()[..came].to_vec());
                    return Ok(bytes);
                }
                Verdict::NotStarted | Verdict::Restarted => pause(Duration::from_millis(1)).await,
                Verdict::Failed | Verdict::Unsure => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Puts a command into the queue.
    fn hand_over(&mut self, place: Place, cdb: &Cdb, work: Work, slot: u16) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        let Some(mut control) = self.spare.pop().or_else(|| DmaBuffer::allocate(CONTROL_LEN)) else {
            return false;
        };
        write_control(control.bytes(), place, cdb, slot);
        if let Err(request) = ring.submit(Request { control, work, slot }) {
            self.spare.push(request.control);
            return false;
        }
        if ring.wants_notice() {
            self.transport.notify(REQUEST_QUEUE);
        }
        true
    }

    /// The next answer: slot, verdict, bytes of data.
    fn take(&mut self) -> Result<Option<(u16, Verdict, usize)>, Problem> {
        let Some(ring) = &mut self.ring else { return Ok(None) };
        let Some((mut request, written)) = ring.complete()? else { return Ok(None) };
        let (mut verdict, came) = request.outcome(written);
        // Less than all would leave old memory in the buffer.
        if verdict == Verdict::Done && request.slot != QUESTION && came < request.wanted() {
            verdict = Verdict::Unsure;
        }
        self.spare.push(request.control);
        Ok(Some((request.slot, verdict, came)))
    }
}

/// Writes the header, and marks the response as not given.
fn write_control(control: &mut [u8], place: Place, cdb: &Cdb, slot: u16) {
    let [high, low] = place.lun.to_be_bytes();
    control.fill(0);
    // The device knows single-level numbers with flat addressing (5.6.6.1).
    control[0..4].copy_from_slice(&[1, place.target, 0x40 | high & 0x3f, low]);
    control[8..10].copy_from_slice(&slot.to_le_bytes());
    control[19..HEADER_LEN].copy_from_slice(cdb);
    control[HEADER_LEN + 11] = response::UNSET;
}

impl<T: Transport, H: Hal + 'static> Engine for Scsi<T, H> {
    fn depth(&self) -> usize {
        self.depth
    }

    fn submit(&mut self, slot: u16, work: &Work) -> bool {
        if work.kind == Kind::Health {
            return false;
        }
        let Some(place) = self.units.get(usize::from(work.unit)).copied() else { return false };
        self.hand_over(place, &command::of(work), work.clone(), slot)
    }

    fn complete(&mut self) -> Result<Option<(u16, Verdict)>, Problem> {
        Ok(self.take()?.map(|(slot, verdict, _)| (slot, verdict)))
    }

    fn examine(&mut self) -> Result<(), Problem> {
        let status = self.transport.get_status();
        let bad = DeviceStatus::FAILED | DeviceStatus::DEVICE_NEEDS_RESET;
        if status.intersects(bad) { Err(Problem::Fatal(status.bits())) } else { Ok(()) }
    }

    async fn recover(&mut self, _: &impl AsyncFn(Duration)) -> Recovery {
        if let Err(problem) = reset(&mut self.transport) {
            return Recovery::Lost(problem.into());
        }
        self.ring = None;
        match Self::start(&mut self.transport) {
            Ok(ring) => {
                self.ring = Some(ring);
                Recovery::Good { blamed: None, is_cache_kept: false }
            }
            Err(problem) => Recovery::Stopped(problem),
        }
    }
}

impl<T: Transport, H: Hal + 'static> Drop for Scsi<T, H> {
    fn drop(&mut self) {
        if reset(&mut self.transport).is_err() {
            // Better a leak than a device that writes to memory of others.
            core::mem::forget(self.ring.take());
        }
    }
}
