//! Directories, other names, longer files; power cuts at every write of them.

use super::super::volume::tests::{NOW, content, formatted, mount, with_power_cuts};
use super::*;
use crate::device::ram::RamDisk;
use crate::simulation::block_on;
use alloc::rc::Rc;
use alloc::string::String;
use std::format;

fn names<D: BlockDevice>(volume: &Volume<D>, path: &str) -> Vec<String> {
    block_on(volume.list(path)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn directories_hold_files_and_are_removed_when_empty() {
    let (disk, mut volume) = formatted();
    let free = volume.free_bytes();
    block_on(async {
        volume.make_directory("keys", NOW).await.unwrap();
        volume.make_directory("keys/of old friends", NOW).await.unwrap();
        volume.replace("keys/of old friends/spring barn", b"one", NOW).await.unwrap();
        assert_eq!(volume.make_directory("KEYS", NOW).await, Err(FatError::Exists("KEYS".to_string())));
        assert_eq!(volume.remove("keys").await, Err(FatError::NotEmpty("keys".to_string())));
        let mut volume = mount(&disk);
        assert_eq!(volume.read("keys/of old friends/SPRING BARN", 9).await.unwrap(), b"one");
        assert!(volume.survey().await.unwrap().is_clean());
        volume.remove("keys/of old friends/spring barn").await.unwrap();
        volume.remove("keys/of old friends").await.unwrap();
        volume.remove("keys").await.unwrap();
        assert_eq!((names(&volume, ""), volume.free_bytes()), (Vec::new(), free));
    });
}

#[test]
fn a_directory_grows_beyond_its_first_cluster() {
    let (disk, mut volume) = formatted();
    block_on(async {
        volume.make_directory("d", NOW).await.unwrap();
        for number in 0..40 {
            volume.replace(&format!("d/a file with number {number}"), &[number], NOW).await.unwrap();
        }
        let volume = mount(&disk);
        assert_eq!(names(&volume, "d").len(), 40);
        assert_eq!(volume.read("d/a file with number 39", 9).await.unwrap(), [39]);
        assert!(volume.survey().await.unwrap().is_clean());
    });
}

#[test]
fn directories_are_not_nested_deeper_than_they_are_followed() {
    let (disk, mut volume) = formatted();
    let mut path = String::new();
    let refused = (0..100).find_map(|_| {
        path.push_str("/d");
        block_on(volume.make_directory(&path, NOW)).err()
    });
    assert_eq!(refused, Some(FatError::TooDeep(path.clone())));
    assert_eq!(path.len() / 2, DEPTH_MAX as usize + 1);
    assert!(block_on(mount(&disk).survey()).unwrap().is_clean());
}

#[test]
fn a_renamed_file_has_its_content_and_its_time_under_the_new_name_only() {
    let (disk, mut volume) = formatted();
    block_on(async {
        volume.replace("other", b"2", NOW).await.unwrap();
        volume.replace("scorenames", &content(5000, 1), NOW).await.unwrap();
        volume.make_directory("d", NOW).await.unwrap();
        let free = volume.free_bytes();
        for (from, to) in [
            ("scorenames", "SCORENAMES"),
            ("scorenames", "s"),
            ("s", "a very long name, with blanks and more than thirteen letters.txt"),
            ("a very long name, with blanks and more than thirteen letters.txt", "d/inner"),
            ("d/inner", "plan9.ini"),
        ] {
            volume.rename(from, to).await.unwrap();
            let volume = mount(&disk);
            let entry = volume.entry(to).await.unwrap();
            assert_eq!((entry.name.as_str(), entry.written), (to.trim_start_matches("d/"), NOW));
            assert_eq!(volume.read(to, 9999).await.unwrap(), content(5000, 1), "{to}");
            let all = [names(&volume, ""), names(&volume, "d")].concat();
            assert_eq!(all.len(), 3, "{to}: {all:?}");
            assert!(volume.survey().await.unwrap().is_clean(), "{to}");
        }
        assert_eq!(volume.free_bytes(), free);
        let exists = Err(FatError::Exists("Other".to_string()));
        assert_eq!(volume.rename("plan9.ini", "Other").await, exists);
        assert_eq!(volume.rename("no", "yes").await, Err(FatError::NotFound("no".to_string())));
    });
}

#[test]
fn a_directory_is_renamed_where_it_is_or_not_at_all() {
    let (disk, mut volume) = formatted();
    block_on(async {
        volume.make_directory("one", NOW).await.unwrap();
        volume.replace("one/file", b"1", NOW).await.unwrap();
        volume.make_directory("other", NOW).await.unwrap();
        volume.rename("one", "two, with a long name").await.unwrap();
        assert_eq!(mount(&disk).read("two, with a long name/file", 9).await.unwrap(), b"1");
        let refused = volume.rename("other", "two, with a long name/other").await;
        assert_eq!(refused, Err(FatError::NotInOneStep("other".to_string())));
        assert_eq!(names(&volume, ""), ["other", "two, with a long name"]);
    });
}

#[test]
fn what_is_appended_stands_behind_what_was_there() {
    let (disk, mut volume) = formatted();
    block_on(async {
        for end in [b"one\n".as_slice(), b"two\n", &[b'x'; 2000]] {
            volume.append("log", end, 2008, NOW).await.unwrap();
        }
        assert_eq!(mount(&disk).read("log", 9999).await.unwrap()[..12], *b"one\ntwo\nxxxx");
        let refused = volume.append("log", b"y", 2008, NOW).await;
        assert_eq!(refused, Err(FatError::TooLarge { name: "log".to_string(), len: 2009, max: 2008 }));
    });
}

#[test]
fn a_power_cut_during_a_new_directory_leaves_none_or_an_empty_one() {
    with_power_cuts(
        async |volume| volume.make_directory("a directory of ours", NOW).await,
        |state| {
            assert_eq!(state[..2].iter().filter(|(_, content)| content.is_some()).count(), 2);
            let new = state.get(2).map(|(name, content)| (name.as_str(), content.is_some()));
            assert!(new.is_none() || new == Some(("a directory of ours", false)), "{new:?}");
        },
    );
}

#[test]
fn a_power_cut_during_a_renaming_leaves_one_name_or_the_other() {
    with_power_cuts(
        async |volume| {
            volume.rename("scorenames", "names of scores").await?;
            volume.rename("names of scores", "NAMES.TXT").await
        },
        |state| {
            assert_eq!(state.len(), 2);
            let (name, left) = &state[1];
            assert!(["scorenames", "names of scores", "NAMES.TXT"].contains(&name.as_str()), "{name}");
            assert_eq!(left, &Some(content(5000, 1)), "{name}");
        },
    );
}

/// An empty FAT32 with one sector to a cluster, its root in cluster 2, and a count of free clusters.
fn fat32() -> (Rc<RamDisk>, u64) {
    const SECTORS: u32 = 70_000;
    let disk = Rc::new(RamDisk::new(512, SECTORS.into()));
    let table_sectors = (SECTORS * 4).div_ceil(512);
    let mut boot = [0; 512];
    boot[..3].copy_from_slice(&[0xeb, 0x58, 0x90]);
    for (at, value) in [(11, 512_u16), (14, 32), (24, 32), (26, 64), (48, 1), (50, 6)] {
        boot[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    (boot[13], boot[16], boot[21], boot[66]) = (1, 2, 0xf8, 0x29);
    for (at, value) in [(32, SECTORS), (36, table_sectors), (44, 2)] {
        boot[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    boot[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.put(0, &boot);
    for (at, mark) in INFO_MARKS {
        disk.put(512 + at as u64, &mark);
    }
    disk.put(512 + FREE_COUNT_AT as u64, &[1, 2, 3, 0]);
    for copy in 0..2 {
        let at = u64::from(32 + copy * table_sectors) * 512;
        for (number, link) in [0x0fff_fff8_u32, 0x0fff_ffff, 0x0fff_ffff].into_iter().enumerate() {
            disk.put(at + 4 * number as u64, &link.to_le_bytes());
        }
    }
    (disk, 512 + FREE_COUNT_AT as u64)
}

#[test]
fn a_fat32_no_longer_says_how_much_is_free_once_it_changes() {
    let (disk, count_at) = fat32();
    block_on(async {
        let mut volume = Volume::open(disk.clone()).await.unwrap();
        assert!(volume.survey().await.unwrap().is_clean());
        assert_eq!(disk.image().get(count_at, 4)[..], [1, 2, 3, 0]);
        volume.make_directory("keys", NOW).await.unwrap();
        volume.replace("keys/one of them", &content(3000, 1), NOW).await.unwrap();
        volume.rename("keys/one of them", "one of them").await.unwrap();
        assert_eq!(disk.image().get(count_at, 4)[..], COUNT_UNKNOWN);
        let volume = Volume::open(disk.clone()).await.unwrap();
        assert_eq!(volume.read("one of them", 9999).await.unwrap(), content(3000, 1));
        assert!(volume.survey().await.unwrap().is_clean());
        // Above a directory of the root there is cluster 0, whichever cluster the root has.
        let keys = volume.geometry().cluster_at(volume.entry("keys").await.unwrap().cluster) * 512;
        assert_eq!(disk.image().get(keys + 32, 11)[..], *b"..         ");
        assert_eq!(disk.image().get(keys + 32 + 26, 2)[..], [0, 0]);
    });
}

#[test]
fn a_fat32_with_one_table_out_of_use_is_refused() {
    let (disk, _) = fat32();
    disk.put(40, &[0x80]);
    let refused = block_on(Volume::open(disk));
    let expected = super::super::boot_sector::BootSectorError::NotMirrored;
    assert!(matches!(refused, Err(FatError::BootSector(error)) if error == expected));
}
