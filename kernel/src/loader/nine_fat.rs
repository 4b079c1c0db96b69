//! Where a disk keeps its kernels. Knows that they are files in 9fat; must not know how a disk is reached.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use storage::device::{BlockDevice, DeviceError};
use storage::disk::Complaint;
use storage::disk::survey::NINE_FAT;
use storage::fat::{FatError, Volume};
use storage::partition::Partition;

/// Why a disk has no 9fat that can be read.
#[derive(Debug, thiserror::Error)]
pub enum NoVolume {
    /// The disk does not give its tables.
    #[error("reading the partition tables: {0}")]
    Tables(DeviceError),
    /// No part has the name.
    #[error("it has no partition called 9fat")]
    NoFat,
    /// The part is no file system.
    #[error("9fat: {0}")]
    Fat(FatError),
}

/// Opens the 9fat of `disk`. `complain` is told what is doubtful in the disk's tables.
///
/// # Errors
/// See [`NoVolume`].
pub async fn open_9fat<D: BlockDevice>(
    disk: D,
    complain: impl FnMut(&Complaint),
) -> Result<Volume<Partition<D>>, NoVolume> {
    let layout = storage::disk::find(&disk).await.map_err(NoVolume::Tables)?;
    layout.complaints.iter().for_each(complain);
    let part = layout.part(NINE_FAT).ok_or(NoVolume::NoFat)?;
    let window = Partition::new(NINE_FAT, disk, part.first, part.count).map_err(|_| NoVolume::NoFat)?;
    Volume::open(window).await.map_err(NoVolume::Fat)
}

/// The result of a future that only ever waits for firmware, which does not return before it is done.
///
/// # Panics
/// If the future waits for anything else.
pub fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a disk read was put off"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use storage::Timestamp;
    use storage::device::ram::RamDisk;
    use storage::disk::prep;

    const SECTORS: u64 = 24 << 11;

    fn with_table(table: &[prep::Part]) -> RamDisk {
        let disk = RamDisk::new(512, SECTORS);
        let table = prep::encode(table, 512).unwrap();
        at_once(disk.write(prep::TABLE_AT, Bytes::from(table))).unwrap();
        disk
    }

    #[test]
    fn a_kernel_is_found_by_the_disks_tables() {
        let disk = with_table(&[prep::Part { name: NINE_FAT.into(), start: 2048, end: SECTORS }]);
        let part = Partition::new(NINE_FAT, &disk, 2048, SECTORS - 2048).unwrap();
        let mut volume = at_once(Volume::format(part, b"9FAT       ", 0, 1, Timestamp(0))).unwrap();
        at_once(volume.replace("granary.a", b"kernel", Timestamp(0))).unwrap();
        let volume = at_once(open_9fat(&disk, |complaint| panic!("{complaint}"))).unwrap();
        assert_eq!(at_once(volume.read("granary.a", 100)).unwrap(), b"kernel");
    }

    #[test]
    fn a_disk_without_a_9fat_that_can_be_read_is_said() {
        let blank = at_once(open_9fat(RamDisk::new(512, SECTORS), |_| {}));
        assert!(matches!(blank, Err(NoVolume::NoFat)));
        let disk = with_table(&[prep::Part { name: NINE_FAT.into(), start: 2048, end: SECTORS }]);
        assert!(matches!(at_once(open_9fat(disk, |_| {})), Err(NoVolume::Fat(_))));
    }
}
