//! From the slots that lead to a block to a path that people know.

use crate::archive::file_entry::FileEntry;
use crate::archive::tree::{self, NoBlock, Source, TreeError};
use crate::score::Score;
use alloc::format;
use alloc::string::String;

/// The path to what these slots lead to (see [`super::walk::Fault::slots`]), as far as names can still be read.
///
/// # Errors
/// If blocks cannot be read at all now.
pub async fn path_of<S: Source>(source: &S, root: Score, slots: &[u64]) -> Result<String, NoBlock> {
    let archive = match tree::open(source, root).await {
        Ok(archive) => archive,
        Err(error) => return stopped(error).map_or(Ok(String::from("/")), Err),
    };
    let slots = if archive.is_two_layers { slots.get(1..).unwrap_or_default() } else { slots };
    let Some((first, slots)) = slots.split_first() else { return Ok(String::from("/")) };
    match first {
        0 => {}
        1 => return Ok(String::from("/ (names of the files in it)")),
        2 => return Ok(String::from("/ (what is said of it)")),
        _ => return Ok(format!("(entry {first} below the root)")),
    }
    let (mut directory, mut path) = (archive.top, String::new());
    for (depth, slot) in slots.iter().enumerate() {
        let listing = match tree::list(source, &directory).await {
            Ok(listing) => listing,
            Err(error) => return stopped(error).map_or(Ok(path), Err),
        };
        let is_content = |file: &&FileEntry| u64::from(file.slot) == *slot;
        let is_names = |file: &&FileEntry| file.is_directory() && u64::from(file.meta_slot) == *slot;
        if let Some(file) = listing.files.iter().find(is_content) {
            path += &format!("/{}", String::from_utf8_lossy(&file.name));
            match listing.directory(file) {
                Ok(below) => directory = below,
                Err(_) => return Ok(path),
            }
        } else if let Some(file) = listing.files.iter().find(is_names) {
            path += &format!("/{} (names of the files in it)", String::from_utf8_lossy(&file.name));
            return Ok(path);
        } else {
            let rest = slots.len() - depth - 1;
            path += &format!("/(slot {slot})");
            path.extend((rest > 0).then_some("/…"));
            return Ok(path);
        }
    }
    if path.is_empty() {
        path.push('/');
    }
    Ok(path)
}

fn stopped(error: TreeError) -> Option<NoBlock> {
    match error {
        TreeError::Block { cause: cause @ NoBlock::Stopped(_), .. } => Some(cause),
        _ => None,
    }
}
