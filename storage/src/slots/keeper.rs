//! The record of a node that runs: the kernel that serves says so, an administrator has another one started.
//!
//! Knows the order: a kernel is whole and durable in 9fat before the record names it. Must not know who may ask, nor how a
//! kernel comes into 9fat.

use super::{FILE, Image, Slot, Slots, record};
use crate::Timestamp;
use crate::device::BlockDevice;
use crate::fat::{FatError, NineFat};
use alloc::rc::Rc;
use alloc::string::String;
use async_lock::Mutex;
use core::cell::Cell;

/// Bytes of a kernel that is taken.
pub const KERNEL_LEN_MAX: u64 = 32 << 20;

/// Why another kernel is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// 9fat.
    #[error(transparent)]
    Fat(#[from] FatError),
    /// The kernel that runs has not shown that it serves.
    #[error("this kernel does not serve, so it is not known to be good: nothing is changed")]
    NotServing,
    /// The slot of the kernel to which the node would fall back.
    #[error("slot {0} holds the kernel that runs or last served: a new one goes into the other")]
    InUse(Slot),
    /// The file differs from what was announced.
    #[error("{} is not the file with this checksum: send it again", .0.file())]
    Damaged(Slot),
    /// The file is no kernel, or not signed as it must be.
    #[error("{}: {why}", slot.file())]
    Refused {
        /// Where it is.
        slot: Slot,
        /// What is wrong with it.
        why: String,
    },
    /// There is no other kernel.
    #[error("slot {0} holds no kernel that could be started")]
    Empty(Slot),
}

/// The slots of a node's disk.
pub struct Keeper<D> {
    pub(super) fat: Rc<NineFat<D>>,
    /// The kernel that runs; `None` where it came from elsewhere.
    running: Option<Slot>,
    serves: Cell<bool>,
    /// What is changed is read, decided and written by one at a time.
    turn: Mutex<()>,
}

impl<D: BlockDevice> Keeper<D> {
    /// Of the disk with this 9fat, for the kernel that was started from `running`.
    pub fn new(fat: Rc<NineFat<D>>, running: Option<Slot>) -> Keeper<D> {
        Keeper { fat, running, serves: Cell::new(false), turn: Mutex::new(()) }
    }

    /// The slot of the kernel that runs, if it came from one.
    pub fn running(&self) -> Option<Slot> {
        self.running
    }

    /// The record; `None` where the disk keeps none.
    pub async fn record(&self) -> Result<Option<Slots>, FatError> {
        // A longer file is none of ours; the next write makes a new one.
        match self.fat.read_if_there(FILE, record::FILE_LEN as u64).await {
            Err(FatError::TooLarge { .. }) => Ok(None),
            file => Ok(file?.and_then(|file| record::parse(&file))),
        }
    }

    /// This kernel serves. A disk that keeps no record is left as it is.
    pub async fn served(&self, now: Timestamp) -> Result<(), FatError> {
        let _turn = self.turn.lock().await;
        self.serves.set(true);
        let (Some(running), Some(slots)) = (self.running, self.record().await?) else { return Ok(()) };
        match slots.served(running) {
            Some(slots) => self.write(&slots, now).await,
            None => Ok(()),
        }
    }

    /// The slot that a new kernel goes into.
    pub async fn free(&self) -> Result<Slot, FatError> {
        let slots = self.record().await?;
        Ok(slots.map_or(self.running.unwrap_or(Slot::A).other(), |slots| slots.free(self.running)))
    }

    /// Has the kernel in `slot` started next time, if its file has this SHA-256 and `check` finds nothing wrong with it.
    ///
    /// # Errors
    /// After an error the kernel that is to be started is the one that it was.
    pub async fn upgrade(
        &self,
        slot: Slot,
        sha256: &[u8; 32],
        check: impl FnOnce(&[u8]) -> Result<(), String>,
        now: Timestamp,
    ) -> Result<(), SlotError> {
        let _turn = self.turn.lock().await;
        let slots = self.to_change(now).await?;
        if slots.map_or(self.running, |slots| Some(slots.free(self.running).other())) == Some(slot) {
            return Err(SlotError::InUse(slot));
        }
        let file = self.fat.read(slot.file(), KERNEL_LEN_MAX).await?;
        let image =
            Image::of(&file).filter(|image| image.sha256 == *sha256).ok_or(SlotError::Damaged(slot))?;
        check(&file).map_err(|why| SlotError::Refused { slot, why })?;
        let slots = match slots {
            Some(slots) => slots.filled(slot, image),
            None => Slots::with(slot, image),
        };
        Ok(self.write(&slots.switched(slot), now).await?)
    }

    /// Has the kernel started that does not run, if its file is whole; returns which. Where another one is to be started than
    /// the one that runs, that is taken back instead.
    ///
    /// # Errors
    /// As [`Keeper::upgrade`].
    pub async fn roll_back(&self, now: Timestamp) -> Result<Slot, SlotError> {
        let _turn = self.turn.lock().await;
        let slots = self.to_change(now).await?.ok_or(SlotError::Empty(Slot::B))?;
        let running = self.running.or(slots.good).unwrap_or(slots.next);
        let slot = if slots.next == running { running.other() } else { running };
        let image = slots.image(slot).ok_or(SlotError::Empty(slot))?;
        if !image.is(&self.fat.read(slot.file(), KERNEL_LEN_MAX).await?) {
            return Err(SlotError::Damaged(slot));
        }
        self.write(&slots.switched(slot), now).await?;
        Ok(slot)
    }

    /// The record, from which a change may be made. A disk that kept none, and has a kernel, gets one.
    async fn to_change(&self, now: Timestamp) -> Result<Option<Slots>, SlotError> {
        if !self.serves.get() {
            return Err(SlotError::NotServing);
        }
        if let Some(slots) = self.record().await? {
            return Ok(Some(slots));
        }
        let slot = self.running.unwrap_or(Slot::A);
        let file = match self.fat.read(slot.file(), KERNEL_LEN_MAX).await {
            Err(FatError::NotFound(_)) => return Ok(None),
            file => file?,
        };
        let Some(image) = Image::of(&file) else { return Ok(None) };
        let slots = Slots { good: Some(slot), ..Slots::with(slot, image) };
        self.fat.replace(FILE, &record::new_file(&slots), now).await?;
        Ok(Some(slots))
    }

    async fn write(&self, slots: &Slots, now: Timestamp) -> Result<(), FatError> {
        let is_there = match self.fat.entry(FILE).await {
            Err(FatError::NotFound(_)) => false,
            entry => entry?.len as usize == record::FILE_LEN,
        };
        match is_there {
            true => self.fat.rewrite(FILE, |sector_size| record::next_write(slots, sector_size)).await,
            false => self.fat.replace(FILE, &record::new_file(slots), now).await,
        }
    }
}
