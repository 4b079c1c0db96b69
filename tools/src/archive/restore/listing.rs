//! What `unvac -t` and `-v` print of a file.

use super::{Action, Restorer, shown};
use crate::archive::blocks::Blocks;
use chrono::{Local, TimeZone};
use std::io::Write;
use storage::archive::file_entry::{FileEntry, mode};
use storage::archive::listing::Listing;

impl<B: Blocks> Restorer<'_, B> {
    /// Prints a file's line, if one is wanted.
    pub(super) fn announce(
        &mut self,
        listing: &Listing,
        file: &FileEntry,
        path: &[u8],
    ) -> anyhow::Result<()> {
        let path = shown(path);
        let slash = if file.is_directory() { "/" } else { "" };
        match (self.settings.action, self.settings.verbose) {
            (Action::List, true) => {
                let size =
                    if file.is_directory() { 0 } else { listing.content(file).map_or(0, |entry| entry.size) };
                writeln!(std::io::stdout(), "{} {path}", long_line(file, size))?;
            }
            (Action::List, false) => writeln!(std::io::stdout(), "{path}{slash}")?,
            (_, true) => self.progress.note(format!("{path}{slash}")),
            (_, false) => self.progress.show(path),
        }
        Ok(())
    }
}

/// Mode, owner, group, size and time, in the columns of Plan 9's unvac.
fn long_line(file: &FileEntry, size: u64) -> String {
    let time = Local.timestamp_opt(i64::from(file.mtime), 0).single();
    let time = time.map_or_else(|| file.mtime.to_string(), |time| time.format("%Y-%m-%d %H:%M").to_string());
    format!("{} {:<10} {:<10} {size:>11} {time}", mode_text(file.mode), shown(&file.uid), shown(&file.gid))
}

/// A mode as Plan 9 prints it.
fn mode_text(bits: u32) -> String {
    let kind = match bits {
        bits if bits & mode::DIRECTORY != 0 => 'd',
        bits if bits & mode::APPEND != 0 => 'a',
        bits if bits & mode::DEVICE != 0 => 'D',
        bits if bits & mode::NAMED_PIPE != 0 => 'P',
        _ => '-',
    };
    let lock = match bits {
        bits if bits & mode::EXCLUSIVE != 0 => 'l',
        bits if bits & mode::LINK != 0 => 'L',
        _ => '-',
    };
    let letters = (0..9).rev().zip("rwxrwxrwx".chars());
    let permissions = letters.map(|(bit, letter)| if bits >> bit & 1 != 0 { letter } else { '-' });
    [kind, lock].into_iter().chain(permissions).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_printed_as_in_plan_9() {
        assert_eq!(mode_text(mode::DIRECTORY | 0o755), "d-rwxr-xr-x");
        assert_eq!(mode_text(mode::LINK | 0o640), "-Lrw-r-----");
        assert_eq!(mode_text(mode::APPEND | mode::EXCLUSIVE), "al---------");
    }
}
