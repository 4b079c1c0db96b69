//! Directory entries: reading, inventing, switching.

use super::*;
use proptest::prelude::*;
use std::vec;

const STATE: FileState =
    FileState { len: 70_000, cluster: 0x1_2345, written: Timestamp(1_700_000_000), is_directory: false };

#[test]
fn reads_the_entries_it_writes() {
    let mut bytes = vec![];
    let names = ["granary.ini", "scorenames", "a name of exactly 26 letters", "ünïcödé 😀", "thirteen.more"];
    for name in names {
        let taken: Vec<Short> = parse(&bytes).iter().map(|entry| entry.short).collect();
        bytes.extend(encode(name, &STATE, |short| taken.contains(short)).unwrap());
    }
    bytes.extend([0; 32]);
    let entries = parse(&bytes);
    let read: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(read, names);
    assert!(entries.iter().all(|entry| (entry.len, entry.cluster) == (STATE.len, STATE.cluster)));
    assert_eq!(entries[0].slots, 0..1);
    assert_eq!(entries[1].slots, 1..3);
}

#[test]
fn a_long_name_without_its_short_entry_names_nothing() {
    let whole = encode("scorenames", &STATE, |_| false).unwrap();
    let other = encode("other", &STATE, |_| false).unwrap();
    let bytes = [&whole[..32], &other].concat();
    let entries = parse(&bytes);
    assert_eq!(entries.len(), 1);
    assert_eq!((entries[0].name.as_str(), entries[0].slots.clone()), ("other", 1..2));
}

#[test]
fn labels_and_deleted_files_are_passed_over() {
    let mut bytes = encode_label(b"9FAT       ", Timestamp(0)).to_vec();
    bytes.extend(encode("scorenames", &STATE, |_| false).unwrap());
    assert_eq!(parse(&bytes).len(), 1);
    delete(&mut bytes[32..]);
    assert_eq!(parse(&bytes), []);
}

#[test]
fn a_switched_entry_keeps_its_name() {
    let mut bytes = encode("scorenames", &STATE, |_| false).unwrap();
    switch(&mut bytes[32..], &FileState { len: 1, cluster: 2, ..STATE });
    let entries = parse(&bytes);
    assert_eq!((entries[0].name.as_str(), entries[0].len, entries[0].cluster), ("scorenames", 1, 2));
}

#[test]
fn room_is_found_in_one_sector_if_possible_and_never_beyond_a_gap() {
    let mut bytes = vec![0; 1024];
    assert_eq!(find_room(&bytes, 3, 512), Some(0));
    bytes[..15 * 32].fill(b'A');
    // Slot 15 alone is left in the first sector, and a run from 16 on would leave a gap in front.
    assert_eq!(find_room(&bytes, 1, 512), Some(15));
    assert_eq!(find_room(&bytes, 2, 512), Some(15));
    bytes[15 * 32] = DELETED;
    assert_eq!(find_room(&bytes, 2, 512), Some(16));
    assert_eq!(find_room(&bytes, 17, 512), Some(15));
    assert_eq!(find_room(&bytes, 18, 512), None);
}

#[test]
fn dates_are_those_of_the_calendar() {
    let show = |seconds| {
        let (date, time) = dos_time(Timestamp(seconds));
        (1980 + (date >> 9), date >> 5 & 15, date & 31, time >> 11, time >> 5 & 63, (time & 31) * 2)
    };
    assert_eq!(show(0), (1980, 1, 1, 0, 0, 0));
    assert_eq!(show(951_782_400), (2000, 2, 29, 0, 0, 0));
    assert_eq!(show(1_700_000_000), (2023, 11, 14, 22, 13, 20));
    assert_eq!(show(u32::MAX), (2106, 2, 7, 6, 28, 14));
}

proptest! {
    #[test]
    fn any_directory_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..2048), count in 1..5_usize) {
        for entry in parse(&bytes) {
            prop_assert!(entry.slots.end * ENTRY_LEN <= bytes.len());
        }
        if let Some(first) = find_room(&bytes, count, 512) {
            prop_assert!((first + count) * ENTRY_LEN <= bytes.len());
        }
    }

    #[test]
    fn mutated_long_names_are_read(at in 0..96_usize, byte in any::<u8>()) {
        let mut bytes = encode("a rather long name.text", &STATE, |_| false).unwrap();
        bytes[at] = byte;
        prop_assert!(parse(&bytes).len() <= 3);
    }
}

#[test]
fn a_time_is_read_as_it_was_written() {
    for seconds in
        [315_532_800, 951_782_400, 951_868_800, 1_078_012_800, 1_700_000_000, 4_107_542_400, 4_294_967_294]
    {
        let (date, time) = dos_time(Timestamp(seconds));
        assert_eq!(unix_time(date, time), Timestamp(seconds), "{seconds}");
    }
    for (date, time) in [(0, 0), (u16::MAX, 0), (0x21, u16::MAX)] {
        assert_eq!(unix_time(date, time), Timestamp(315_532_800));
    }
}
