//! What a host's file is to vac: its kind, owner, times, and the bytes that stand for links and devices.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use storage::archive::file_entry::mode;

/// What vac keeps of a link's target: its buffer is as long as a pointer.
const LINK_LEN_KEPT: usize = 8;

/// What kind of file it is, with what takes the place of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Its bytes are to be read.
    Plain,
    /// Its files are to be read.
    Directory,
    /// It has no bytes of its own, but these stand for it.
    Special(Vec<u8>),
}

/// One file of the host.
#[derive(Clone, Debug)]
pub struct HostFile {
    /// What it is.
    pub kind: Kind,
    /// [`mode`]'s bits for its kind, and permissions.
    pub mode: u32,
    /// Numbers of its owner and group.
    pub owner: (u32, u32),
    /// Seconds since 1970.
    pub mtime: u32,
    /// Seconds since 1970.
    pub atime: u32,
    /// Bytes that it says it has.
    pub size: u64,
}

impl HostFile {
    /// Looks at `path`. Of a symbolic link, owner, times and permissions are those of what it leads to, as in
    /// plan9port; its target is kept up to its eighth byte, as by plan9port's vac, or whole.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn look_at(path: &Path, whole_links: bool) -> io::Result<HostFile> {
        let itself = fs::symlink_metadata(path)?;
        let is_link = itself.file_type().is_symlink();
        let seen =
            if is_link { fs::metadata(path).unwrap_or_else(|_| itself.clone()) } else { itself.clone() };
        let permissions = seen.mode() & mode::PERMISSIONS;
        let file_type = seen.file_type();
        let (kind, kind_bit, size) = if is_link {
            (Kind::Special(link_target(path, whole_links)?), mode::LINK, itself.len())
        } else if file_type.is_dir() {
            (Kind::Directory, mode::DIRECTORY, 0)
        } else if file_type.is_fifo() {
            (Kind::Special(Vec::new()), mode::NAMED_PIPE, seen.len())
        } else if file_type.is_socket() {
            (Kind::Special(Vec::new()), 0, seen.len())
        } else if file_type.is_block_device() {
            (Kind::Special(device('b', &seen)), mode::DEVICE, device_size(path))
        } else if file_type.is_char_device() {
            (Kind::Special(device('c', &seen)), mode::DEVICE, seen.len())
        } else {
            (Kind::Plain, 0, seen.len())
        };
        Ok(HostFile {
            kind,
            mode: kind_bit | permissions,
            owner: (seen.uid(), seen.gid()),
            mtime: seen.mtime() as u32,
            atime: seen.atime() as u32,
            size,
        })
    }
}

fn link_target(path: &Path, whole: bool) -> io::Result<Vec<u8>> {
    let mut target = fs::read_link(path)?.into_os_string().as_bytes().to_vec();
    if !whole {
        target.truncate(LINK_LEN_KEPT);
    }
    Ok(target)
}

/// A device as plan9port writes it: its kind, then the low and the next byte of its number.
fn device(kind: char, seen: &Metadata) -> Vec<u8> {
    let number = seen.rdev();
    format!("{kind} {} {}", number & 0xff, number >> 8 & 0xff).into_bytes()
}

fn device_size(path: &Path) -> u64 {
    File::open(path).and_then(|mut device| device.seek(SeekFrom::End(0))).unwrap_or(0)
}

/// The names of users and groups, looked up once each.
#[derive(Debug, Default)]
pub struct Names {
    users: HashMap<u32, Vec<u8>>,
    groups: HashMap<u32, Vec<u8>>,
}

impl Names {
    /// The user's name, or the number where there is none.
    pub fn user(&mut self, uid: u32) -> &[u8] {
        self.users.entry(uid).or_insert_with(|| {
            let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name).into_bytes()
        })
    }

    /// The group's name, or the number where there is none.
    pub fn group(&mut self, gid: u32) -> &[u8] {
        self.groups.entry(gid).or_insert_with(|| {
            let group = nix::unistd::Group::from_gid(gid.into()).ok().flatten();
            group.map_or_else(|| gid.to_string(), |group| group.name).into_bytes()
        })
    }
}

/// The path as Plan 9 cleans it: no empty names, no `.`, no `..` that can be resolved by looking at it.
pub fn clean_name(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." if names.last().is_some_and(|last| *last != b"..") => drop(names.pop()),
            b".." if rooted => {}
            name => names.push(name),
        }
    }
    let joined = names.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}

/// The bytes as a path.
pub fn path_of(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_are_cleaned_as_in_plan_9() {
        for (name, clean) in [
            ("", "."),
            ("./a//b/.", "a/b"),
            ("a/../b", "b"),
            ("a/..", "."),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/b/..", "a"),
            ("../a/../..", "../.."),
        ] {
            assert_eq!(clean_name(name.as_bytes()), clean.as_bytes(), "{name}");
        }
    }

    #[test]
    fn a_link_keeps_its_first_eight_bytes_or_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        symlink("nowhere/at/all", &path).unwrap();
        let kept = HostFile::look_at(&path, false).unwrap();
        assert_eq!((kept.kind, kept.size), (Kind::Special(b"nowhere/".to_vec()), 14));
        assert_eq!(kept.mode & mode::LINK, mode::LINK);
        assert_eq!(HostFile::look_at(&path, true).unwrap().kind, Kind::Special(b"nowhere/at/all".to_vec()));
    }

    #[test]
    fn a_device_is_written_with_its_numbers_in_plan9ports_order() {
        let null = HostFile::look_at(Path::new("/dev/null"), false).unwrap();
        assert_eq!(null.kind, Kind::Special(b"c 3 1".to_vec()));
    }

    #[test]
    fn a_user_without_a_name_is_a_number() {
        let mut names = Names::default();
        assert_eq!(names.user(0), b"root");
        assert_eq!(names.user(3_999_999_999), b"3999999999");
    }
}
