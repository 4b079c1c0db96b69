//! A FAT file system on which sectors have changed: mounted, listed, read, written. What is written must be read again,
//! and what cannot be written must leave the file as it was.

use crate::Input;
use storage::Timestamp;
use storage::device::Image;
use storage::device::ram::RamDisk;
use storage::fat::{FatError, Volume};
use storage::simulation::{SeededRng, block_on};

const SECTOR: usize = 512;
/// Sectors of the small disk, FAT16, and of the large one, FAT32.
const SECTORS: [u64; 2] = [16_384, 70_000];
const NOW: Timestamp = Timestamp(1_800_000_000);
const CONTENT_MAX: u64 = 64 << 10;
/// Files and directories that are looked at.
const FILES_MAX: usize = 24;
/// A directory's attributes, at this place of an entry.
const ATTRIBUTES_AT: usize = 11;
const DIRECTORY: u8 = 0x10;
const ENTRY_LEN: usize = 32;

thread_local! {
    static DISKS: [Image; 2] = [fat16(), fat32()];
}

/// A small file system with some files, one of them in a directory.
fn fat16() -> Image {
    let disk = RamDisk::new(SECTOR as u32, SECTORS[0]);
    block_on(async {
        let mut volume = Volume::format(&disk, b"9FAT       ", 0, 7, NOW).await?;
        volume.replace("granary.ini", b"sysname=granary\nventi=10.0.0.0/8\n", NOW).await?;
        let mut content = vec![0; 9000];
        SeededRng::new(1).fill(&mut content);
        volume.replace("granary.a", &content, NOW).await?;
        volume.replace("a long name with blanks.txt", b"x", NOW).await?;
        volume.replace("empty", b"", NOW).await?;
        // A file that holds a directory, with one file in it, becomes that directory.
        let inner = volume.entry("granary.ini").await?;
        let mut raw = vec![0; ENTRY_LEN];
        raw[..11].copy_from_slice(b"INNER      ");
        raw[26..28].copy_from_slice(&(inner.cluster as u16).to_le_bytes());
        raw[28..].copy_from_slice(&inner.len.to_le_bytes());
        volume.replace("dir", &raw, NOW).await?;
        let slot = volume.entry("dir").await?.slots.end - 1;
        let at = volume.geometry().root_at() as usize * SECTOR + slot * ENTRY_LEN;
        disk.put((at + ATTRIBUTES_AT) as u64, &[DIRECTORY]);
        disk.put((at + 28) as u64, &[0; 4]);
        Ok::<_, FatError>(())
    })
    .expect("the disk is large enough");
    disk.image()
}

/// An empty file system of the larger kind: one sector to a cluster, the root in cluster 2.
fn fat32() -> Image {
    let disk = RamDisk::new(SECTOR as u32, SECTORS[1]);
    let mut boot = vec![0; SECTOR];
    boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    for (at, value) in [(11, 512_u16), (14, 32), (24, 32), (26, 64), (48, 1), (50, 6)] {
        boot[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    (boot[13], boot[16], boot[21], boot[66]) = (1, 2, 0xf8, 0x29);
    let table_sectors = (SECTORS[1] * 4).div_ceil(SECTOR as u64) as u32;
    for (at, value) in [(32, SECTORS[1] as u32), (36, table_sectors), (44, 2)] {
        boot[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    boot[82..90].copy_from_slice(b"FAT32   ");
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.put(0, &boot);
    for copy in 0..2 {
        let at = (32 + copy * u64::from(table_sectors)) * SECTOR as u64;
        for (number, link) in [0x0fff_fff8_u32, 0x0fff_ffff, 0x0fff_ffff].into_iter().enumerate() {
            disk.put(at + 4 * number as u64, &link.to_le_bytes());
        }
    }
    disk.image()
}

/// The kind of file system (the large one seldom, since it takes its time), then changes: sector, place in it, length,
/// bytes. A length of 0 ends them; what follows is the content of the file that is written.
pub fn fat(data: &[u8]) {
    let mut input = Input(data);
    let disk = RamDisk::from(DISKS.with(|disks| disks[usize::from(input.byte() % 4 == 1)].clone()));
    let sectors = storage::device::BlockDevice::sector_count(&disk);
    while !input.is_empty() {
        let (sector, place, len) = (u64::from(input.short()), u64::from(input.short()), input.byte());
        if len == 0 {
            break;
        }
        let at = sector % sectors * SECTOR as u64 + place % SECTOR as u64;
        let bytes = input.take(usize::from(len).min(SECTOR - (place as usize) % SECTOR));
        disk.put(at, bytes);
    }
    block_on(use_volume(&disk, input.0));
}

async fn use_volume(disk: &RamDisk, content: &[u8]) {
    let Ok(mut volume) = Volume::open(disk).await else { return };
    assert!(volume.free_bytes() <= storage::device::size_bytes(disk));
    let mut waiting = vec![String::new()];
    let mut looked_at = 0;
    while let Some(path) = waiting.pop() {
        for entry in volume.list(&path).await.unwrap_or_default() {
            looked_at += 1;
            if looked_at > FILES_MAX {
                break;
            }
            let path = format!("{path}/{}", entry.name);
            if entry.is_directory {
                waiting.push(path);
            } else if let Ok(content) = volume.read(&path, CONTENT_MAX).await {
                assert!(content.len() as u64 <= CONTENT_MAX);
            }
        }
    }
    for path in ["granary.ini", "a new name that is long", "dir/inner"] {
        replaced(&mut volume, path, content).await;
    }
    let _ = volume.remove("granary.a").await;
    if volume.reclaim().await.is_ok() {
        assert_eq!(volume.reclaim().await, Ok(0), "what was given back is given back again");
    }
}

/// Replaces a file: afterwards it has the new content, or its old one and an error.
async fn replaced(volume: &mut Volume<&RamDisk>, path: &str, content: &[u8]) {
    let before = volume.read(path, CONTENT_MAX).await;
    let result = volume.replace(path, content, NOW).await;
    let after = volume.read(path, CONTENT_MAX).await;
    match (result, after) {
        (Ok(()), after) => assert_eq!(after.as_deref(), Ok(content), "{path} was written"),
        (Err(_), Ok(after)) => assert!(before == Ok(after.clone()) || after == content, "{path} has changed"),
        (Err(error), Err(_)) => assert!(before.is_err(), "{path} is lost: {error}"),
    }
}
