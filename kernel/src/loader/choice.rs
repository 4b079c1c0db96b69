//! Which of the kernels in 9fat is started: those that the record of the slots names, in its order, whole, and counted.
//!
//! Knows the file of the record, and what happens before a kernel is started. Must not know how one is, nor who decides
//! ([`storage::slots`]).

use alloc::vec::Vec;
use storage::device::BlockDevice;
use storage::fat::{FatError, Volume};
use storage::slots::record::{self, FILE_LEN};
use storage::slots::{Candidate, FILE, Slots, TRIES_MAX, WITHOUT_RECORD};

/// The kernels of one disk.
#[derive(Clone, Debug)]
pub struct Choice {
    record: Option<Slots>,
    /// What is tried, in this order.
    pub candidates: Vec<Candidate>,
}

/// Why a kernel is not started, though it is there.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FatError),
    /// It is not the file that the record knows.
    #[error("it is damaged: it has {len} bytes, and not the checksum that {FILE} gives for {expected} bytes")]
    Damaged {
        /// Its bytes.
        len: usize,
        /// Those it should have.
        expected: u32,
    },
    /// Its start cannot be counted.
    #[error("it has not served yet, and its start cannot be counted: {0}")]
    Uncounted(FatError),
}

impl Choice {
    /// Reads the record. Where there is none, every kernel that is there may be started.
    pub async fn read<D: BlockDevice>(volume: &Volume<D>) -> Choice {
        let record = volume.read(FILE, FILE_LEN as u64).await.ok().and_then(|file| record::parse(&file));
        let candidates = record.map_or_else(|| WITHOUT_RECORD.into(), |record| record.order());
        Choice { record, candidates }
    }

    /// What a person should know of the choice.
    pub fn remark(&self) -> Option<&'static str> {
        let record = self.record?;
        let first = self.candidates.first()?;
        let is_given_up = record.tried >= TRIES_MAX && first.slot != record.next;
        is_given_up.then_some(
            "the new kernel was started three times and did not serve: the one before it is started",
        )
    }

    /// Whether the `file` that was read of a candidate is whole. It takes a while, in which nothing but this need happen.
    ///
    /// # Errors
    /// [`Unusable::Damaged`].
    pub fn verify(candidate: &Candidate, file: &[u8]) -> Result<(), Unusable> {
        match candidate.image {
            Some(image) if !image.is(file) => Err(Unusable::Damaged { len: file.len(), expected: image.len }),
            _ => Ok(()),
        }
    }

    /// The file of a kernel, of at most `len_max` bytes, which is still to be verified.
    ///
    /// # Errors
    /// [`Unusable::File`].
    pub async fn read_file<D: BlockDevice>(
        volume: &Volume<D>,
        candidate: &Candidate,
        len_max: u64,
    ) -> Result<Vec<u8>, Unusable> {
        Ok(volume.read(candidate.slot.file(), len_max).await?)
    }

    /// The last thing before a kernel is started: the start is counted where it must be.
    ///
    /// # Errors
    /// [`Unusable::Uncounted`]: it must not be started.
    pub async fn count<D: BlockDevice>(
        &self,
        volume: &mut Volume<D>,
        candidate: &Candidate,
    ) -> Result<(), Unusable> {
        let Some(record) = self.record.filter(|_| candidate.is_counted) else { return Ok(()) };
        let (at, sector) = record::next_write(&record.counted(), volume.geometry().sector_size);
        volume.rewrite(FILE, at, &sector).await.map_err(Unusable::Uncounted)
    }
}

#[cfg(test)]
mod tests {
    use super::super::at_once;
    use super::*;
    use storage::Timestamp;
    use storage::device::ram::RamDisk;
    use storage::slots::{Image, Slot};

    const NOW: Timestamp = Timestamp(0);

    fn volume() -> Volume<RamDisk> {
        at_once(Volume::format(RamDisk::new(512, 24 << 11), b"9FAT       ", 0, 1, NOW)).unwrap()
    }

    fn load(volume: &Volume<RamDisk>, candidate: &Candidate, len_max: u64) -> Result<Vec<u8>, Unusable> {
        let file = at_once(Choice::read_file(volume, candidate, len_max))?;
        Choice::verify(candidate, &file).map(|()| file)
    }

    #[test]
    fn a_disk_of_one_kernel_starts_it_and_says_which_it_was() {
        let mut volume = volume();
        at_once(volume.replace("granary.a", b"kernel", NOW)).unwrap();
        let choice = at_once(Choice::read(&volume));
        assert_eq!(choice.candidates[..], WITHOUT_RECORD);
        assert_eq!(load(&volume, &choice.candidates[0], 100).unwrap(), b"kernel");
        let missing = load(&volume, &choice.candidates[1], 100);
        assert!(matches!(missing, Err(Unusable::File(FatError::NotFound(_)))));
        assert!(matches!(
            load(&volume, &choice.candidates[0], 5),
            Err(Unusable::File(FatError::TooLarge { .. }))
        ));
    }

    #[test]
    fn a_new_kernel_is_counted_three_times_and_then_given_up_and_a_cut_off_one_is_not_started() {
        let mut volume = volume();
        let image = |file: &[u8]| Image::of(file).unwrap();
        at_once(volume.replace("granary.a", b"old", NOW)).unwrap();
        at_once(volume.replace("granary.b", b"new", NOW)).unwrap();
        let old = Slots::with(Slot::A, image(b"old")).served(Slot::A).unwrap();
        let record = record::new_file(&old.filled(Slot::B, image(b"new")).switched(Slot::B));
        at_once(volume.replace(FILE, &record, NOW)).unwrap();
        for _ in 0..TRIES_MAX {
            let choice = at_once(Choice::read(&volume));
            assert_eq!((choice.candidates[0].slot, choice.remark()), (Slot::B, None));
            assert_eq!(load(&volume, &choice.candidates[0], 100).unwrap(), b"new");
            at_once(choice.count(&mut volume, &choice.candidates[0])).unwrap();
        }
        let choice = at_once(Choice::read(&volume));
        assert_eq!(choice.candidates[0].slot, Slot::A);
        assert!(choice.remark().is_some());
        at_once(volume.replace("granary.a", b"ol", NOW)).unwrap();
        let damaged = load(&volume, &choice.candidates[0], 100);
        assert!(matches!(damaged, Err(Unusable::Damaged { len: 2, expected: 3 })));
    }
}
