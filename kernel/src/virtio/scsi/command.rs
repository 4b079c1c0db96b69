//! SCSI commands and what devices answer (SPC-4, SBC-3).
//!
//! Knows the bytes of the commands that a disk needs, and what sense data mean. Must not know virtio.

use crate::drive::{Geometry, Kind, Problem, Verdict, Work};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Bytes in a command, as virtio carries it.
pub(super) const CDB_LEN: usize = 32;
/// Bytes that the questions below are answered with at most.
pub(super) const ANSWER_LEN: usize = 252;

pub(super) type Cdb = [u8; CDB_LEN];

const TEST_UNIT_READY: u8 = 0x00;
const INQUIRY: u8 = 0x12;
const MODE_SENSE_6: u8 = 0x1a;
const SYNCHRONIZE_CACHE_10: u8 = 0x35;
const READ_16: u8 = 0x88;
const WRITE_16: u8 = 0x8a;
const SERVICE_ACTION_IN_16: u8 = 0x9e;
const READ_CAPACITY_16: u8 = 0x10;
const REPORT_LUNS: u8 = 0xa0;

/// Vital product data: serial number, names of the device, limits of its blocks.
pub(super) const PAGE_SERIAL: u8 = 0x80;
pub(super) const PAGE_NAMES: u8 = 0x83;
pub(super) const PAGE_LIMITS: u8 = 0xb0;
const PAGE_CACHING: u8 = 0x08;

fn cdb(bytes: &[u8]) -> Cdb {
    let mut cdb = [0; CDB_LEN];
    cdb[..bytes.len()].copy_from_slice(bytes);
    cdb
}

pub(super) fn test_unit_ready() -> Cdb {
    cdb(&[TEST_UNIT_READY])
}

/// Who are you? `page`: one of the pages of vital product data.
pub(super) fn inquiry(page: Option<u8>) -> Cdb {
    cdb(&[INQUIRY, page.is_some().into(), page.unwrap_or(0), 0, ANSWER_LEN as u8])
}

pub(super) fn read_capacity() -> Cdb {
    let mut cdb = cdb(&[SERVICE_ACTION_IN_16, READ_CAPACITY_16]);
    cdb[13] = 32;
    cdb
}

pub(super) fn report_luns() -> Cdb {
    let mut cdb = cdb(&[REPORT_LUNS]);
    cdb[9] = ANSWER_LEN as u8;
    cdb
}

/// The page on caches, without block descriptors.
pub(super) fn mode_sense_caching() -> Cdb {
    cdb(&[MODE_SENSE_6, 8, PAGE_CACHING, 0, ANSWER_LEN as u8])
}

/// The command for `work`.
pub(super) fn of(work: &Work) -> Cdb {
    let opcode = match work.kind {
        // Of all sectors.
        Kind::Flush => return cdb(&[SYNCHRONIZE_CACHE_10]),
        // Never asked: see `Scsi::submit`.
        Kind::Health => return cdb(&[TEST_UNIT_READY]),
        Kind::Read => READ_16,
        Kind::Write => WRITE_16,
    };
    let mut cdb = cdb(&[opcode]);
    cdb[2..10].copy_from_slice(&work.first.to_be_bytes());
    cdb[10..14].copy_from_slice(&work.sectors.to_be_bytes());
    cdb
}

/// A big-endian number in an answer.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let field = bytes.get(at..at + len)?;
    Some(field.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)))
}

fn text(bytes: &[u8]) -> String {
    let printable = bytes.iter().filter(|byte| matches!(byte, b' '..=b'~')).map(|byte| char::from(*byte));
    String::from(printable.collect::<String>().trim())
}

/// Vendor and product, if a disk answered an inquiry.
pub(super) fn model(answer: &[u8]) -> Option<String> {
    // The upper bits say whether anything is connected, the lower ones what: 0 is a disk.
    (*answer.first()? == 0).then_some(())?;
    let (vendor, product) = (text(answer.get(8..16)?), text(answer.get(16..32)?));
    Some(format!("{vendor} {product}"))
}

/// The body of a page of vital product data, as far as it came.
fn page(answer: &[u8], page: u8) -> &[u8] {
    let len = number(answer, 2, 2).unwrap_or(0) as usize;
    match answer.get(4..) {
        Some(body) if answer.get(1) == Some(&page) => body.get(..len).unwrap_or(body),
        _ => &[],
    }
}

pub(super) fn serial(answer: &[u8]) -> String {
    text(page(answer, PAGE_SERIAL))
}

/// The best of the names that the device has: NAA, else EUI-64, as hexadecimal digits.
pub(super) fn guid(answer: &[u8]) -> String {
    let mut names = page(answer, PAGE_NAMES);
    let mut best: (u8, &[u8]) = (0, &[]);
    while let [_, kind, _, len, rest @ ..] = names {
        let Some((name, others)) = rest.split_at_checked(usize::from(*len)) else { break };
        // Names of the logical unit itself, in binary.
        let (association, kind) = (kind >> 4 & 3, kind & 0xf);
        if association == 0 && matches!(kind, 2 | 3) && kind > best.0 {
            best = (kind, name);
        }
        names = others;
    }
    best.1.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers of logical units, as far as they are simple ones, each once.
pub(super) fn luns(answer: &[u8]) -> Vec<u16> {
    let len = number(answer, 0, 4).unwrap_or(0) as usize;
    let list = answer.get(8..).unwrap_or_default();
    let mut luns: Vec<u16> = (list.get(..len).unwrap_or(list).chunks_exact(8))
        .filter(|lun| lun[2..].iter().all(|byte| *byte == 0) && lun[0] >> 6 <= 1)
        .map(|lun| u16::from(lun[0] & 0x3f) << 8 | u16::from(lun[1]))
        .collect();
    luns.sort_unstable();
    luns.dedup();
    luns
}

/// What the answers to the questions on capacity, limits and caches come to. No answer on caches: there may be one.
pub(super) fn geometry(
    capacity: &[u8],
    limits: &[u8],
    caching: Option<&[u8]>,
    request_max: u32,
) -> Result<Geometry, Problem> {
    let unusable =
        Problem::Unusable { what: "its answer on its capacity, in bytes", value: capacity.len() as u64 };
    let last = number(capacity, 0, 8).ok_or(unusable)?;
    let sector_size = number(capacity, 8, 4).ok_or(unusable)? as u32;
    let blocks_max = number(page(limits, PAGE_LIMITS), 4, 4).filter(|blocks| *blocks > 0);
    let limit = blocks_max.map_or(u64::MAX, |blocks| blocks * u64::from(sector_size));
    let caching = caching.filter(|answer| answer.len() >= 4);
    let read_only = caching.is_some_and(|answer| answer[2] & 0x80 != 0);
    // Behind the header and its block descriptors.
    let flags = caching.and_then(|answer| {
        let at = 4 + usize::from(answer[3]);
        (answer.get(at)? & 0x3f == PAGE_CACHING).then_some(*answer.get(at + 2)?)
    });
    let geometry = Geometry {
        sector_size,
        sector_count: last.checked_add(1).ok_or(unusable)?,
        read_only,
        flushes: flags.is_none_or(|flags| flags & 4 != 0),
        request_max: limit.min(request_max.into()) as u32,
    };
    geometry.checked()
}

const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const TASK_ABORTED: u8 = 0x40;

/// What a status and its sense data say of the command's fate.
pub(super) fn verdict(status: u8, sense: &[u8]) -> Verdict {
    match status {
        GOOD => Verdict::Done,
        BUSY | TASK_SET_FULL => Verdict::NotStarted,
        CHECK_CONDITION => sense_verdict(sense),
        TASK_ABORTED => Verdict::Unsure,
        // Reserved by another machine, above all.
        _ => Verdict::Failed,
    }
}

/// Sense key, and the additional code.
fn key_and_code(sense: &[u8]) -> Option<(u8, u8)> {
    match sense.first()? & 0x7f {
        0x70 => Some((sense.get(2)? & 0xf, *sense.get(12)?)),
        0x72 => Some((sense.get(1)? & 0xf, *sense.get(2)?)),
        // On an earlier command, or of another making.
        _ => None,
    }
}

fn sense_verdict(sense: &[u8]) -> Verdict {
    const RECOVERED: u8 = 1;
    const NOT_READY: u8 = 2;
    const ILLEGAL_REQUEST: u8 = 5;
    const UNIT_ATTENTION: u8 = 6;
    const DATA_PROTECT: u8 = 7;
    /// The device was switched on or reset.
    const RESET_OCCURRED: u8 = 0x29;
    match key_and_code(sense) {
        Some((0 | RECOVERED, _)) => Verdict::Done,
        Some((UNIT_ATTENTION, RESET_OCCURRED)) => Verdict::Restarted,
        Some((UNIT_ATTENTION | NOT_READY, _)) => Verdict::NotStarted,
        Some((ILLEGAL_REQUEST | DATA_PROTECT, _)) => Verdict::Failed,
        _ => Verdict::Unsure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive::Memory;

    #[test]
    fn commands_carry_sector_and_count_big_endian() {
        let work =
            Work { unit: 0, kind: Kind::Write, first: 0x0102_0304_0506, sectors: 9, memory: Memory::None };
        assert_eq!(of(&work)[..14], [0x8a, 0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0, 9]);
        assert_eq!(of(&Work { kind: Kind::Read, ..work })[0], 0x88);
        assert_eq!(of(&Work::flush(0)), cdb(&[0x35]));
        assert_eq!(inquiry(Some(PAGE_SERIAL))[..5], [0x12, 1, 0x80, 0, 252]);
    }

    #[test]
    fn sense_data_of_both_forms_decide() {
        let fixed = |key, code| {
            let mut sense = [0; 18];
            (sense[0], sense[2], sense[12]) = (0x70, key, code);
            verdict(CHECK_CONDITION, &sense)
        };
        let descriptor = |key, code| verdict(CHECK_CONDITION, &[0x72, key, code, 0]);
        for (key, code, expected) in [
            (1, 0x17, Verdict::Done),
            (2, 4, Verdict::NotStarted),
            (3, 0x11, Verdict::Unsure),
            (4, 0x44, Verdict::Unsure),
            (5, 0x21, Verdict::Failed),
            (6, 0x2a, Verdict::NotStarted),
            (6, 0x29, Verdict::Restarted),
            (7, 0x27, Verdict::Failed),
            (0xb, 0, Verdict::Unsure),
        ] {
            assert_eq!(fixed(key, code), expected, "key {key}");
            assert_eq!(descriptor(key, code), expected, "key {key}");
        }
        for sense in [&[][..], &[0x70], &[0x70, 0, 6], &[0x72], &[0x33; 18], &[0xff; 96]] {
            assert_eq!(verdict(CHECK_CONDITION, sense), Verdict::Unsure);
        }
        assert_eq!(verdict(GOOD, &[]), Verdict::Done);
        assert_eq!(verdict(BUSY, &[]), Verdict::NotStarted);
        assert_eq!(verdict(0x18, &[]), Verdict::Failed);
    }

    #[test]
    fn names_serials_and_units_are_read_as_far_as_they_are_whole() {
        assert_eq!(serial(b"\0\x80\0\x06 abc\0 "), "abc");
        assert_eq!(serial(b"\0\x83\0\x06 abc\0 "), "");
        assert_eq!(serial(b"\0\x80\xff\xffab"), "ab");
        let names = b"\0\x83\0\x14\x02\x01\0\x02ab\x01\x03\0\x02\x50\x01\x01\x12\0\x04\xff\xff\xff\xff";
        assert_eq!(guid(names), "5001");
        assert_eq!(guid(&names[..15]), "");
        assert_eq!(guid(b"\0\x83\0\x04\x01\x03\0\xff"), "");
        let list = [
            0, 0, 0, 24, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x41, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
            0,
        ];
        assert_eq!(luns(&list), [1, 0x102]);
        assert_eq!(luns(&[0xff; 252]), []);
        assert_eq!(luns(&[]), []);
        assert_eq!(model(&[0x7f; 36]), None);
        assert_eq!(model(b"\0\0\0\0\0\0\0\0QEMU    HARDDISK        1234"), Some("QEMU HARDDISK".into()));
    }

    #[test]
    fn geometry_comes_of_capacity_limits_and_caching() {
        let mut capacity = [0; 32];
        (capacity[7], capacity[10]) = (99, 0x10);
        let mut limits = [0; 64];
        (limits[1], limits[3], limits[11]) = (PAGE_LIMITS, 60, 4);
        let cached = [0, 0, 0, 0, 8, 18, 4];
        let found = geometry(&capacity, &limits, Some(&cached), 1 << 20).unwrap();
        assert_eq!((found.sector_size, found.sector_count, found.request_max), (4096, 100, 4 * 4096));
        assert!(found.flushes && !found.read_only);
        let through = geometry(&capacity, &[], Some(&[0, 0, 0x80, 0, 8, 18, 0]), 1 << 20).unwrap();
        assert!(!through.flushes && through.read_only && through.request_max == 1 << 20);
        assert!(geometry(&capacity, &[], None, 1 << 20).unwrap().flushes);
        assert!(geometry(&[0xff; 32], &[], None, 1 << 20).is_err());
        assert!(geometry(&capacity[..10], &[], None, 1 << 20).is_err());
        assert!(geometry(&capacity, &[], None, 100).is_err());
    }
}
