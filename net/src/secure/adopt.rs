//! An account that `granary.ini` gives, moved into the nvram: whoever reads 9fat must not find a password there.
//!
//! Knows the order: the record is durable before the line is taken away, so that a power cut between the two leaves both,
//! and the next start does it again.

use super::identity::{NoIdentity, write_identity};
use crate::auth::key::{aes_key, des_key};
use crate::auth::{Domain, UserName};
use alloc::string::String;
use alloc::vec::Vec;
use storage::Timestamp;
use storage::device::BlockDevice;
use storage::fat::{FatError, NineFat};
use storage::settings::{FILE, FILE_LEN_MAX, GivenAccount, Settings, edit, key};

/// Why an account stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum NotAdopted {
    /// `granary.ini` cannot be read or written.
    #[error("{FILE}: {0}")]
    Fat(#[from] FatError),
    /// The record cannot be written.
    #[error(transparent)]
    Nvram(#[from] NoIdentity),
    /// Somebody else wrote the file at the same time.
    #[error("{FILE} changed meanwhile")]
    Changed,
    /// There is no place for it.
    #[error(
        "the disk has no partition called nvram to keep it in; it is not used, and whoever reads {FILE} sees it"
    )]
    NoNvram,
}

/// Moves the account that the file gives, if it gives one. Returns the file's new text.
///
/// # Errors
/// The account is in both places, or only in the file.
pub async fn adopt<D: BlockDevice, E: BlockDevice>(
    nvram: Option<&D>,
    fat: &NineFat<E>,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, NotAdopted> {
    let Some(before) = fat.read_if_there(FILE, FILE_LEN_MAX as u64).await? else { return Ok(None) };
    let mut settings = Settings::default();
    // Wrong lines are told of where all settings are read.
    let _ = settings.apply_file(FILE, &before);
    let (Some(given), Some(line)) = (&settings.account, key(GivenAccount::KEY)) else { return Ok(None) };
    let (user, domain) = names(given).ok_or(NoIdentity::Names)?;
    let nvram = nvram.ok_or(NotAdopted::NoNvram)?;
    let password = given.password.as_bytes();
    let old = settings.p9sk1.then(|| des_key(password));
    write_identity(nvram, &user, &domain, aes_key(password), old).await?;
    let after = edit(&String::from_utf8_lossy(&before), line, None).into_bytes();
    match fat.replace_unchanged(FILE, &before, &after, now).await? {
        true => {
            log::info!(
                "{FILE}: the account {user} in the domain {domain} is in the nvram now, its line is gone"
            );
            Ok(Some(after))
        }
        false => Err(NotAdopted::Changed),
    }
}

fn names(given: &GivenAccount) -> Option<(UserName, Domain)> {
    Some((UserName::new(&given.user).ok()?, Domain::new(&given.domain).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::nvram::{Nvram, RECORD_LEN};
    use crate::secure::read_identity;
    use std::rc::Rc;
    use storage::device::Image;
    use storage::device::sim::SimDisk;
    use storage::fat::Volume;
    use storage::simulation::block_on;

    const NOW: Timestamp = Timestamp(1);
    const TEXT: &[u8] = b"log=warn\naccount=venti lab.example kept safe # for the herd\np9sk1=yes\n";

    /// Two disks, and what one of them may lose when the power goes.
    fn disks(nvram: Image, fat: Image) -> (SimDisk, Rc<SimDisk>) {
        (SimDisk::new(nvram, 1).prompt(), Rc::new(SimDisk::new(fat, 2).prompt()))
    }

    fn with_text(text: &[u8]) -> (SimDisk, Rc<SimDisk>) {
        let (nvram, fat) = disks(Image::new(512, 1), Image::new(512, 20_000));
        let mut volume = block_on(Volume::format(fat.clone(), b"9FAT       ", 0, 7, NOW)).unwrap();
        block_on(volume.replace(FILE, text, NOW)).unwrap();
        (nvram, fat)
    }

    fn run(nvram: &SimDisk, fat: &Rc<SimDisk>) -> Result<Option<Vec<u8>>, NotAdopted> {
        let fat = block_on(NineFat::open(fat.clone(), true)).unwrap();
        block_on(adopt(Some(nvram), &fat, NOW))
    }

    #[test]
    fn the_account_moves_and_its_line_goes() {
        let (nvram, fat) = with_text(TEXT);
        let after = run(&nvram, &fat).unwrap().unwrap();
        assert_eq!(after, b"log=warn\n# for the herd\np9sk1=yes\n");
        let identity = block_on(read_identity(&nvram, true)).unwrap();
        assert_eq!((identity.account.user().as_str(), identity.domain.as_str()), ("venti", "lab.example"));
        assert_eq!(identity.account.des_key(), Some(&des_key(b"kept safe")));
        let sector = block_on(nvram.read(0, 1)).unwrap();
        let record = Nvram::parse(sector.first_chunk::<RECORD_LEN>().unwrap()).unwrap();
        assert_eq!(record.aes_key, Some(aes_key(b"kept safe")));
        assert!(run(&nvram, &fat).unwrap().is_none());
    }

    #[test]
    fn without_a_place_for_it_nothing_changes() {
        let (_, fat) = with_text(TEXT);
        let fat = block_on(NineFat::open(fat, true)).unwrap();
        let refused = block_on(adopt(None::<&SimDisk>, &fat, NOW)).unwrap_err();
        assert!(matches!(refused, NotAdopted::NoNvram));
        assert_eq!(block_on(fat.read(FILE, 1000)).unwrap(), TEXT);
    }

    #[test]
    fn a_power_cut_loses_no_account() {
        for cut_at_nvram in [false, true] {
            let mut operations = 0;
            while !is_done_before_the_cut(cut_at_nvram, operations) {
                operations += 1;
            }
            assert!(operations > 2);
        }
    }

    /// Cuts the power after so many requests to one of the two disks. Whatever that leaves, the next start has an account.
    fn is_done_before_the_cut(cut_at_nvram: bool, operations: u64) -> bool {
        let (nvram, fat) = with_text(TEXT);
        let nvram = nvram.beside(&fat);
        let cut: &SimDisk = if cut_at_nvram { &nvram } else { &fat };
        cut.cut_power_after(cut.operations() + operations);
        let opened = block_on(NineFat::open(fat.clone(), true)).ok();
        let done = opened.is_some_and(|fat| matches!(block_on(adopt(Some(&nvram), &fat, NOW)), Ok(Some(_))));
        for seed in 0..6 {
            let (nvram, fat) = disks(nvram.power_cut(seed), fat.power_cut(seed));
            run(&nvram, &fat).unwrap();
            assert!(block_on(read_identity(&nvram, false)).is_ok(), "{cut_at_nvram} {operations} {seed}");
        }
        done
    }
}
