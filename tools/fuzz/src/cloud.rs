//! Settings from where clouds put them: what a person wrote, the volumes that it comes on, and QEMU's items.

use storage::cloud::fw_cfg::{self, Registers};
use storage::cloud::user_data::settings_text;
use storage::cloud::{USER_DATA_LEN_MAX, applied, volume};
use storage::device::ram::RamDisk;
use storage::settings::{FILE, Settings};
use storage::simulation::block_on;

/// A CD image has so many zeros in front of its first descriptor.
const CD_START: usize = 32 << 10;

/// User data: what is taken is a good `granary.ini`.
pub fn user_data(data: &[u8]) {
    if let Ok(Some(text)) = settings_text(data) {
        assert!(Settings::parse(FILE, text.as_bytes()).is_ok());
    }
}

/// A disk that may be a volume with settings: a CD image without its empty start, and a FAT file system.
pub fn cloud_volume(data: &[u8]) {
    for disk in [[&vec![0; CD_START][..], data].concat(), data.to_vec()] {
        if let Ok(Some(given)) = block_on(volume::read(&RamDisk::from_bytes(512, &disk))) {
            assert!(given.user_data.len() <= USER_DATA_LEN_MAX);
            assert_eq!(applied::mark(&given).lines().count(), 1);
        }
    }
}

/// QEMU's device: the input is its directory, and every item.
pub fn fw_cfg(data: &[u8]) {
    struct Device<'a>(&'a [u8], &'a [u8]);
    impl Registers for Device<'_> {
        fn select(&mut self, key: u16) {
            self.0 = if key == 0 { b"QEMU" } else { self.1 };
        }

        fn next(&mut self) -> u8 {
            self.0.split_off_first().copied().unwrap_or(0)
        }
    }
    if let Ok(Some(content)) = fw_cfg::read(&mut Device(data, data)) {
        assert!(content.len() <= USER_DATA_LEN_MAX);
    }
}
