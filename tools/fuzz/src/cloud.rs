//! Settings from where clouds put them: what a person wrote, the volumes that it comes on, QEMU's items, firmware's word on
//! the machine, and a server's answer.

use crate::Input;
use net::metadata::{self, Answer, AnswerError, BODY_LEN_MAX, Place, Reader};
use storage::cloud::fw_cfg::{self, Registers};
use storage::cloud::smbios::{self, Memory};
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

/// Firmware's memory: the first bytes lie in the BIOS area, all of them from 1 MiB on.
pub fn smbios(data: &[u8]) {
    struct Ram<'a>(&'a [u8], Vec<u8>);
    impl Memory for Ram<'_> {
        fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
            let (bytes, at) = match address.checked_sub(1 << 20) {
                Some(at) => (self.0, at),
                None => (self.1.as_slice(), address.checked_sub(smbios::AREA)?),
            };
            bytes.get(usize::try_from(at).ok()?..)?.get(..len)
        }
    }
    let mut area = data.to_vec();
    area.resize(smbios::AREA_LEN, 0);
    let ram = Ram(data, area);
    for entry in [None, Some(1 << 20)] {
        let Ok(Some(system)) = smbios::read(&ram, entry) else { continue };
        if let Ok(Some(Place::Seed { url, .. })) = metadata::place(&system) {
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }
}

/// A server's answer, whole and in pieces, and then the end.
pub fn http_answer(data: &[u8]) {
    fn read(data: &[u8], size: usize) -> Result<Answer, AnswerError> {
        let mut reader = Reader::default();
        for piece in data.chunks(size) {
            if let Some(answer) = reader.push(piece)? {
                return Ok(answer);
            }
        }
        reader.end()
    }
    let mut input = Input(data);
    let size = usize::from(input.byte()) + 1;
    let whole = read(input.0, usize::MAX);
    if let Ok(answer) = &whole {
        assert!(answer.body.len() <= BODY_LEN_MAX && answer.status >= 100);
    }
    assert_eq!(read(input.0, size), whole);
}
