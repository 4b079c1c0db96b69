//! Where a disk keeps its kernels. Knows that they are files in 9fat; must not know how a disk is reached.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use storage::device::{BlockDevice, DeviceError};
use storage::disk::Complaint;
use storage::disk::survey::NINE_FAT;
use storage::fat::{FatError, Volume};
use storage::partition::Partition;

/// The kernels in 9fat, in the order in which they are tried.
pub const KERNELS: [&str; 2] = ["granary.a", "granary.b"];

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
