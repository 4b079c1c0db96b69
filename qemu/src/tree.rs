//! Directory trees: a copy of the project's sources, a tree with everything a tree can hold, and a comparison.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What was found beneath a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Regular files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Copies the project's own sources (not `target`, not hidden folders) from `root` to `target`.
pub fn copy_sources(root: &Path, target: &Path) -> Result<Size> {
    let mut size = Size::default();
    fs::create_dir_all(target)?;
    for entry in fs::read_dir(root).with_context(|| format!("cannot list {}", root.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let to = target.join(&*name);
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let below = copy_sources(&entry.path(), &to)?;
            size = Size { files: size.files + below.files, bytes: size.bytes + below.bytes };
        } else if kind.is_file() {
            size.bytes += fs::copy(entry.path(), &to)?;
            size.files += 1;
        }
    }
    Ok(size)
}

/// Makes a small tree with the shapes that archives get wrong: empty things, holes, odd names, modes, large files.
pub fn make_sample(target: &Path) -> Result<Size> {
    fs::create_dir_all(target.join("deep/er/and/deeper"))?;
    fs::create_dir_all(target.join("empty directory"))?;
    let noise: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut sparse = vec![0; 200_000];
    sparse[150_000] = 1;
    let files: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("one byte", b"1"),
        ("noise", &noise),
        ("holes", &sparse),
        ("zeros", &[0; 100_000]),
        ("deep/er/and/deeper/text", b"a granary keeps what was brought in\n"),
        ("gr\u{e4}in", "UTF-8: \u{4e94}\u{7a40}\n".as_bytes()),
    ];
    let mut size = Size::default();
    for (name, content) in files {
        fs::write(target.join(name), content)?;
        size = Size { files: size.files + 1, bytes: size.bytes + content.len() as u64 };
    }
    fs::set_permissions(target.join("one byte"), fs::Permissions::from_mode(0o640))?;
    Ok(size)
}

/// Compares two trees by names, kinds, permissions and contents; says what differs first.
pub fn compare(left: &Path, right: &Path) -> Result<Size> {
    let names = listing(left)?;
    let others = listing(right)?;
    if let Some(name) = names.keys().find(|name| !others.contains_key(*name)) {
        bail!("{name} is missing in {}", right.display());
    }
    if let Some(name) = others.keys().find(|name| !names.contains_key(*name)) {
        bail!("{name} is in {} only", right.display());
    }
    let mut size = Size::default();
    for (name, left_path) in &names {
        let right_path = &others[name];
        let (left_meta, right_meta) = (fs::symlink_metadata(left_path)?, fs::symlink_metadata(right_path)?);
        ensure!(left_meta.file_type() == right_meta.file_type(), "{name} changed its kind");
        let modes = (left_meta.permissions().mode() & 0o777, right_meta.permissions().mode() & 0o777);
        ensure!(modes.0 == modes.1, "{name}: mode {:o} became {:o}", modes.0, modes.1);
        if left_meta.is_file() {
            ensure!(fs::read(left_path)? == fs::read(right_path)?, "{name}: the content differs");
            size = Size { files: size.files + 1, bytes: size.bytes + left_meta.len() };
        }
    }
    Ok(size)
}

/// Relative name → path, of everything beneath `root`.
fn listing(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut names = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?
        {
            let entry = entry?;
            let path = entry.path();
            names.insert(path.strip_prefix(root)?.to_string_lossy().into_owned(), path.clone());
            if entry.file_type()?.is_dir() {
                pending.push(path);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_equals_its_origin_and_a_changed_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        make_sample(&first).unwrap();
        copy_sources(&first, &second).unwrap();
        assert_eq!(compare(&first, &second).unwrap().files, 7);
        fs::write(second.join("one byte"), "2").unwrap();
        assert!(compare(&first, &second).is_err());
        fs::write(second.join("one byte"), "1").unwrap();
        fs::write(second.join("more"), "").unwrap();
        assert!(compare(&first, &second).is_err());
    }
}
