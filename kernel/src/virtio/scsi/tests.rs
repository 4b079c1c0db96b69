//! A SCSI host and its disks against a device in memory that answers truly, wrongly or never.

use super::*;
use crate::drive::{Drive, Host};
use crate::virtio::fake::{FakeDevice, FakeHal, Visible};
use bytes::Bytes;
use core::cell::RefCell;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use storage::device::{BlockDevice, DeviceError};

type Fake = Scsi<FakeDevice, FakeHal>;

macro_rules! turn {
    ($future:expr) => {
        $future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
}

const SENSE_RESET: &[u8] = &[0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0];
const SENSE_MEDIUM: &[u8] = &[0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
const SENSE_ILLEGAL: &[u8] = &[0x72, 5, 0x20, 0];

fn config(max_target: u16) -> Vec<u8> {
    let mut config = alloc::vec![0; 36];
    (config[SENSE_SIZE_AT], config[CDB_SIZE_AT], config[MAX_SECTORS_AT]) = (96, 32, 8);
    config[MAX_TARGET_AT..MAX_TARGET_AT + 2].copy_from_slice(&max_target.to_le_bytes());
    config
}

fn cdb_of(chain: &Visible) -> &[u8] {
    &chain.readable[19..51]
}

/// Answers with response and status, sense and data.
fn answer(device: &FakeDevice, chain: &Visible, response: u8, status: u8, sense: &[u8], data: &[u8]) {
    let wanted = chain.room() - RESPONSE_LEN;
    let data = &data[..data.len().min(wanted)];
    let mut bytes = alloc::vec![0; RESPONSE_LEN];
    bytes[0] = sense.len() as u8;
    bytes[4..8].copy_from_slice(&((wanted - data.len()) as u32).to_le_bytes());
    (bytes[10], bytes[11]) = (status, response);
    bytes[12..][..sense.len()].copy_from_slice(sense);
    bytes.extend(data);
    chain.fill(&bytes);
    device.give_back(2, chain.id, bytes.len() as u32);
}

/// Answers a question as a host with a disk of 100 sectors at target 1, units 0 and 3.
fn tell(device: &FakeDevice, chain: &Visible) {
    let cdb = cdb_of(chain);
    let mut data = alloc::vec![0; 36];
    match (cdb[0], cdb[1], cdb[2]) {
        _ if chain.readable[1] != 1 => return answer(device, chain, 3, 0, &[], &[]),
        (0x12, 0, _) => data[8..32].copy_from_slice(b"MAKER   DISK            "),
        (0x12, 1, 0x80) => {
            data[..8].copy_from_slice(&[0, 0x80, 0, 4, b'S', b'N', b'0', chain.readable[3] + b'0'])
        }
        (0x9e, ..) => (data[7], data[10]) = (99, 2),
        (0xa0, ..) => (data[3], data[17]) = (16, 3),
        (0x00, ..) => data.clear(),
        _ => return answer(device, chain, 0, 2, SENSE_ILLEGAL, &[]),
    }
    answer(device, chain, 0, 0, &[], &data);
}

/// Opens the host; `tell` answers what it asks.
fn open(device: &FakeDevice, tell: &dyn Fn(&Visible)) -> Result<(Fake, Vec<ScsiDisk>), Problem> {
    let pause = async |_| device.all(2).iter().for_each(tell);
    let opened = turn!(pin!(Fake::open(device.clone(), &pause)));
    let Poll::Ready(opened) = opened else { panic!("not a step was taken") };
    opened
}

fn disk() -> (FakeDevice, alloc::rc::Rc<Host<Fake>>, Drive<Fake>, Drive<Fake>) {
    let device = FakeDevice::new(0, &config(3), 256);
    let (scsi, found) = open(&device, &|chain| tell(&device, chain)).unwrap();
    let host = Host::new(scsi);
    let mut disks: Vec<_> = found.iter().map(|disk| host.add(disk.serial.clone(), disk.geometry)).collect();
    let second = disks.pop().unwrap();
    (device, host, disks.pop().unwrap(), second)
}

#[test]
fn disks_are_found_at_their_targets_and_units_with_their_names() {
    let device = FakeDevice::new(0, &config(300), 256);
    let (_, found) = open(&device, &|chain| tell(&device, chain)).unwrap();
    let shape: Vec<_> =
        found.iter().map(|disk| (disk.place.target, disk.place.lun, disk.serial.as_str())).collect();
    assert_eq!(shape, [(1, 0, "SN00"), (1, 3, "SN03")]);
    assert_eq!(found[0].model, "MAKER DISK");
    let geometry = found[0].geometry;
    assert_eq!((geometry.sector_size, geometry.sector_count, geometry.request_max), (512, 100, 4096));
}

#[test]
fn news_before_the_first_answer_do_not_hide_a_disk() {
    let device = FakeDevice::new(0, &config(3), 256);
    let left = RefCell::new(3);
    let (_, found) = open(&device, &|chain| {
        let mut left = left.borrow_mut();
        if chain.readable[1] == 1 && *left > 0 {
            *left -= 1;
            return answer(&device, chain, 0, 2, SENSE_RESET, &[]);
        }
        tell(&device, chain);
    })
    .unwrap();
    assert_eq!(found.len(), 2);
}

#[test]
fn a_host_that_never_answers_or_only_with_news_is_left_in_time() {
    let device = FakeDevice::new(0, &config(3), 256);
    assert_eq!(open(&device, &|_| ()).err(), Some(Problem::Slow("answer")));
    let device = FakeDevice::new(0, &config(3), 256);
    let (_, found) = open(&device, &|chain| answer(&device, chain, 0, 2, SENSE_RESET, &[])).unwrap();
    assert!(found.is_empty());
    let device = FakeDevice::new(0, &[0; 36], 256);
    assert!(matches!(open(&device, &|_| ()).err(), Some(Problem::Unusable { .. })));
}

#[test]
fn reads_writes_and_flushes_reach_their_unit() {
    let (device, host, _, disk) = disk();
    let mut read = pin!(disk.read(90, 10));
    assert!(turn!(read).is_pending());
    let chains = device.all(2);
    assert_eq!(chains.len(), 2, "cut to what the device takes");
    assert_eq!(chains[0].readable[..4], [1, 1, 0x40, 3]);
    assert_eq!(cdb_of(&chains[1])[..14], [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 98, 0, 0, 0, 2]);
    chains.iter().for_each(|chain| answer(&device, chain, 0, 0, &[], &[5; 4096]));
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(bytes)) if bytes.iter().all(|byte| *byte == 5)));

    let mut write = pin!(disk.write(1, Bytes::from(alloc::vec![6; 512])));
    assert!(turn!(write).is_pending());
    let chain = device.next(2).unwrap();
    assert_eq!(chain.readable[HEADER_LEN..], [6; 512]);
    answer(&device, &chain, 0, 0, &[], &[]);
    host.complete();
    assert_eq!(turn!(write), Poll::Ready(Ok(())));

    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    let chain = device.next(2).unwrap();
    assert_eq!(cdb_of(&chain)[0], 0x35);
    answer(&device, &chain, 0, 0, &[], &[]);
    host.complete();
    assert_eq!(turn!(flush), Poll::Ready(Ok(())));
}

#[test]
fn a_short_or_unanswered_read_is_tried_again_and_never_shows_old_memory() {
    let (device, host, disk, _) = disk();
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    for attempt in 0..5 {
        let chain = device.next(2).unwrap();
        match attempt % 2 {
            0 => answer(&device, &chain, 0, 0, &[], &[1; 511]),
            // Nothing written at all: what we put there stays.
            _ => device.give_back(2, chain.id, 0),
        }
        host.complete();
        host.tick();
    }
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Read { first: 1, count: 1 })));
}

#[test]
fn a_medium_error_is_tried_again_and_then_reported_for_that_request_alone() {
    let (device, host, disk, other) = disk();
    let mut bad = pin!(disk.read(7, 1));
    assert!(turn!(bad).is_pending());
    for _ in 0..5 {
        answer(&device, &device.next(2).unwrap(), 0, 2, SENSE_MEDIUM, &[]);
        host.complete();
        host.tick();
    }
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 7, count: 1 })));
    let mut good = pin!(other.read(7, 1));
    assert!(turn!(good).is_pending());
    answer(&device, &device.next(2).unwrap(), 0, 0, &[], &[0; 512]);
    host.complete();
    assert!(matches!(turn!(good), Poll::Ready(Ok(_))));
}

#[test]
fn a_device_that_started_anew_may_have_lost_its_cache() {
    let (device, host, disk, other) = disk();
    let mut write = pin!(disk.write(1, Bytes::from(alloc::vec![6; 512])));
    assert!(turn!(write).is_pending());
    answer(&device, &device.next(2).unwrap(), 0, 2, SENSE_RESET, &[]);
    host.complete();
    answer(&device, &device.next(2).unwrap(), 0, 0, &[], &[]);
    host.complete();
    assert_eq!(turn!(write), Poll::Ready(Ok(())), "asked for again at once");
    assert_eq!((disk.failed_flushes(), other.failed_flushes()), (1, 0));
    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    answer(&device, &device.next(2).unwrap(), 0, 2, SENSE_RESET, &[]);
    host.complete();
    assert_eq!(
        turn!(flush),
        Poll::Ready(Err(DeviceError::Flush)),
        "it would succeed without the lost writes"
    );
}

#[test]
fn a_bogus_answer_or_silence_resets_the_device_and_the_request_is_made_again() {
    for bogus in [true, false] {
        let (device, host, disk, _) = disk();
        let mut read = pin!(disk.read(1, 1));
        assert!(turn!(read).is_pending());
        device.all(2);
        if bogus {
            device.give_back(2, 200, 0);
        }
        for _ in 0..20 {
            host.tick();
            assert!(turn!(pin!(host.recover(&async |_| ()))).is_ready());
            device.all(2).iter().for_each(|chain| answer(&device, chain, 0, 0, &[], &[3; 512]));
        }
        assert!(matches!(turn!(read), Poll::Ready(Ok(bytes)) if bytes[0] == 3), "bogus {bogus}");
        assert_eq!(disk.failed_flushes(), 1);
    }
}

#[test]
fn a_device_that_cannot_be_reset_is_gone() {
    let (device, host, disk, _) = disk();
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    device.give_back(2, 200, 0);
    device.0.borrow_mut().resets_ignored = true;
    host.complete();
    assert!(turn!(pin!(host.recover(&async |_| ()))).is_ready());
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone)));
    assert_eq!(turn!(pin!(disk.flush())), Poll::Ready(Err(DeviceError::Gone)));
}
