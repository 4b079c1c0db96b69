//! GUID tables: those of sgdisk, ours, and damaged ones.

use super::*;
use proptest::prelude::*;
use std::string::ToString;

fn plan9(first: u64, last: u64) -> Entry {
    Entry { kind: Guid::PLAN9, unique: Guid::random([7; 16]), first, last, label: "plan9".to_string() }
}

#[test]
fn reads_what_it_writes_at_both_ends() {
    let entries = [plan9(34, 99), plan9(100, 966)];
    let disk = Guid::random([1; 16]);
    let encoded = encode(disk, 1000, 512, &entries);
    let primary = Header::parse(&encoded.primary, 1).unwrap();
    assert_eq!((primary.disk, primary.other_sector), (disk, 999));
    assert_eq!((primary.first_usable, primary.last_usable, primary.entries_at), (34, 966, 2));
    assert_eq!(primary.entries(&encoded.primary[512..]).unwrap(), entries);
    let header = &encoded.backup[encoded.backup.len() - 512..];
    let backup = Header::parse(header, 999).unwrap();
    assert_eq!((backup.other_sector, backup.entries_at), (1, 967));
    assert_eq!(backup.entries(&encoded.backup).unwrap(), entries);
}

#[test]
fn a_table_moved_to_a_larger_disk_is_the_one_made_for_it() {
    let (entries, disk) = ([plan9(34, 99), plan9(100, 966)], Guid::random([1; 16]));
    let small = encode(disk, 1000, 512, &entries).primary;
    assert_eq!(moved(&small[..512], &small[512..], 5000).unwrap(), encode(disk, 5000, 512, &entries));
    assert_eq!(moved(&small[..512], &small[512..], 1000).unwrap(), encode(disk, 1000, 512, &entries));
}

#[test]
fn a_table_is_not_moved_into_its_partitions_nor_if_it_is_damaged() {
    let mut table = encode(Guid::random([1; 16]), 1000, 512, &[plan9(34, 966)]).primary;
    for sectors in [0, 1, 33, 40, 999] {
        assert_eq!(moved(&table[..512], &table[512..], sectors), Err(GptError::BadHeader), "{sectors}");
    }
    assert_eq!(moved(&table[..512], &table[512..600], 5000), Err(GptError::EntriesSum));
    table[512] ^= 1;
    assert_eq!(moved(&table[..512], &table[512..], 5000), Err(GptError::EntriesSum));
    table[56] ^= 1;
    assert_eq!(moved(&table[..512], &table[512..], 5000), Err(GptError::HeaderSum));
}

#[test]
fn reads_a_table_made_by_sgdisk() {
    // sgdisk -Z -U 01234567-89AB-4DEF-8123-456789ABCDEF -n 1:34:2047 -t 1:ef02 -c 1:stage2 on a 4 MiB file: sectors 1 and 2.
    let sectors = include_bytes!("../../tests/fixtures/disk/sgdisk-4m-sectors-1-2.bin");
    let header = Header::parse(sectors, 1).unwrap();
    assert_eq!(header.disk.to_string(), "01234567-89AB-4DEF-8123-456789ABCDEF");
    assert_eq!((header.other_sector, header.last_usable), (8191, 8158));
    let mut array = sectors[512..].to_vec();
    array.resize(16384, 0);
    let [entry] = &header.entries(&array).unwrap()[..] else { panic!("one entry") };
    assert_eq!((entry.kind, entry.first, entry.last), (Guid::BIOS_BOOT, 34, 2047));
    assert_eq!(entry.label, "stage2");
    // And our own encoder makes the same bytes of it.
    let ours = encode(header.disk, 8192, 512, core::slice::from_ref(entry));
    assert_eq!(ours.primary[..1024], sectors[..]);
}

#[test]
fn known_types_print_as_the_standard_writes_them() {
    assert_eq!(Guid::PLAN9.to_string(), "C91818F9-8025-47AF-89D2-F030D7000C2C");
    assert_eq!(Guid::BIOS_BOOT.to_string(), "21686148-6449-6E6F-744E-656564454649");
    assert_eq!(Guid::EFI_SYSTEM.to_string(), "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
}

proptest! {
    #[test]
    fn a_damaged_table_is_refused(at in 0..92_usize, flip in 1..=255_u8) {
        let mut encoded = encode(Guid::random([1; 16]), 1000, 512, &[plan9(34, 99)]).primary;
        encoded[at] ^= flip;
        prop_assert!(Header::parse(&encoded, 1).is_err());
    }

    #[test]
    fn damaged_entries_are_refused(at in 0..16384_usize, flip in 1..=255_u8) {
        let mut encoded = encode(Guid::random([1; 16]), 1000, 512, &[plan9(34, 99)]).primary;
        encoded[512 + at] ^= flip;
        let header = Header::parse(&encoded, 1).unwrap();
        prop_assert_eq!(header.entries(&encoded[512..]), Err(GptError::EntriesSum));
    }

    #[test]
    fn any_header_with_a_right_sum_is_read_without_harm(mut sector in proptest::collection::vec(any::<u8>(), 512)) {
        sector[..8].copy_from_slice(&SIGNATURE);
        sector[12..16].copy_from_slice(&92_u32.to_le_bytes());
        sector[84..88].copy_from_slice(&128_u32.to_le_bytes());
        sector[80] = 3;
        sector[81..84].fill(0);
        sector[16..20].fill(0);
        let sum = checksum(&sector[..92]);
        sector[16..20].copy_from_slice(&sum.to_le_bytes());
        let own = u64::from_le_bytes(sector[24..32].try_into().unwrap());
        let header = Header::parse(&sector, own).unwrap();
        prop_assert!(header.entries(&sector).is_err());
    }
}
