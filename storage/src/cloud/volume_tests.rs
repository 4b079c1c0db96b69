//! Volumes as genisoimage makes them, FAT volumes of our own, and what is no such volume.

use super::*;
use crate::Timestamp;
use crate::cloud::user_data::settings_text;
use crate::device::ram::RamDisk;
use crate::simulation::block_on;
use std::io::Read;
use std::vec;

const CIDATA: &[u8] = include_bytes!("../../tests/fixtures/cloud/cidata.iso.gz");
const ROCK: &[u8] = include_bytes!("../../tests/fixtures/cloud/cidata-rock.iso.gz");
const CONFIG_2: &[u8] = include_bytes!("../../tests/fixtures/cloud/config-2.iso.gz");

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    bytes
}

fn found(sector_size: u32, image: &[u8]) -> Option<Given> {
    block_on(read(&RamDisk::from_bytes(sector_size, image))).unwrap()
}

#[test]
fn cd_images_are_read_by_their_long_names_in_sectors_of_any_size() {
    for (packed, source, instance, sysname) in [
        (CIDATA, Source::NoCloud, "i-0001", "cloudy"),
        (ROCK, Source::NoCloud, "i-0001", "cloudy"),
        (CONFIG_2, Source::ConfigDrive, "83679162-1378-4288-a2d4-70e13ec132aa", "stacked"),
    ] {
        for sector_size in [512, 2048, 4096] {
            let given = found(sector_size, &unpacked(packed)).unwrap();
            assert_eq!((given.source, given.instance.as_deref()), (source, Some(instance)));
            let text = settings_text(&given.user_data).unwrap().unwrap();
            assert!(text.contains(sysname), "{text}");
        }
    }
}

#[test]
fn an_image_with_another_label_is_somebody_elses() {
    let mut image = unpacked(CIDATA);
    let label = 16 * 2048 + 40;
    assert_eq!(image[label..label + 6], *b"cidata");
    image[label] = b'x';
    assert_eq!(found(512, &image), None);
    assert_eq!(found(512, &vec![0; 1 << 20]), None);
    assert_eq!(found(512, &[]), None);
}

/// A FAT file system with these files, over a whole disk.
fn fat(label: &[u8; 11], files: &[(&str, &str)]) -> Vec<u8> {
    let disk = RamDisk::new(512, 8 << 11);
    block_on(async {
        let mut volume = Volume::format(&disk, label, 0, 1, Timestamp(0)).await.unwrap();
        for (path, content) in files {
            let folders = path.char_indices().filter(|(_, letter)| *letter == '/').map(|(at, _)| &path[..at]);
            for folder in folders {
                volume.make_directory(folder, Timestamp(0)).await.unwrap();
            }
            volume.replace(path, content.as_bytes(), Timestamp(0)).await.unwrap();
        }
    });
    disk.image().to_vec()
}

#[test]
fn fat_volumes_are_read_whole_or_in_a_partition() {
    let files = [("user-data", "sysname=a\n"), ("meta-data", "instance-id: 7\n")];
    let expected = |source, instance: Option<&str>, user_data: &str| Given {
        source,
        instance: instance.map(ToString::to_string),
        user_data: user_data.as_bytes().to_vec(),
    };
    let image = fat(b"CIDATA     ", &files);
    assert_eq!(found(512, &image), Some(expected(Source::NoCloud, Some("7"), "sysname=a\n")));
    // One entry of a DOS table: type 6, from sector 2048 on.
    let mut disk = vec![0; 1 << 20];
    disk[446 + 4] = 6;
    disk[446 + 8..446 + 12].copy_from_slice(&2048_u32.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&(8_u32 << 11).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk.extend_from_slice(&image);
    assert_eq!(found(512, &disk), Some(expected(Source::NoCloud, Some("7"), "sysname=a\n")));
    let stack = fat(b"CONFIG-2   ", &[("openstack/latest/user_data", "sysname=b\n")]);
    assert_eq!(found(512, &stack), Some(expected(Source::ConfigDrive, None, "sysname=b\n")));
    assert_eq!(found(512, &fat(b"CIDATA     ", &[])), Some(expected(Source::NoCloud, None, "")));
    assert_eq!(found(512, &fat(b"9FAT       ", &files)), None);
}

#[test]
fn a_volume_of_a_kind_that_is_not_read_is_told() {
    // As `mkfs.vfat -n CIDATA` makes it of a megabyte: 2048 sectors, one a cluster, tables of 6 sectors.
    let mut image = vec![0; 1 << 20];
    image[..11].copy_from_slice(b"\xeb\x3c\x90mkfs.fat");
    image[11..24].copy_from_slice(&[0, 2, 1, 1, 0, 2, 0, 2, 0, 8, 0xf8, 6, 0]);
    image[43..62].copy_from_slice(b"CIDATA     FAT12   ");
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    let told = block_on(read(&RamDisk::from_bytes(512, &image))).unwrap_err().to_string();
    assert!(told.contains("FAT12"), "{told}");
}

#[test]
fn what_is_too_long_is_told() {
    let long = "#".repeat(USER_DATA_LEN_MAX + 1);
    let image = fat(b"CIDATA     ", &[("user-data", &long)]);
    let told = block_on(read(&RamDisk::from_bytes(512, &image))).unwrap_err();
    assert!(matches!(told, VolumeError::Fat(FatError::TooLarge { .. })), "{told}");
}

/// Every byte of the descriptors and directories, changed in several ways: never a panic, and never more than is there.
#[test]
fn a_damaged_image_ends_in_an_answer() {
    let image = unpacked(CIDATA);
    let end = 40 * 2048;
    for at in (16 * 2048..end).filter(|at| image[*at] != 0) {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = image.clone();
            damaged[at] ^= change;
            let disk = RamDisk::from_bytes(2048, &damaged[..end.max(60 * 2048)]);
            if let Ok(Some(given)) = block_on(read(&disk)) {
                assert!(given.user_data.len() <= USER_DATA_LEN_MAX);
            }
        }
    }
}
