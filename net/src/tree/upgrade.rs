//! Another kernel for the machine beneath: what is asked of it, and which files of 9fat that concerns.
//!
//! Knows who must have signed a kernel, and that the one to which the node falls back is not written. Must not know how slots are
//! kept ([`storage::slots`]), nor what a kernel looks like: the machine says.

use super::serve::{NodeFiles, fat_error};
use crate::clock::Clock;
use crate::p9::Error;
use crate::signature::{BadKey, PublicKey};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use storage::device::BlockDevice;
use storage::settings::{self, Settings};
use storage::slots::{FILE, Keeper, Slot, SlotError};

/// What says why a file is no kernel.
pub type KernelCheck = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// A machine whose kernel can be changed.
pub struct Upgrades<F> {
    /// The slots of its disk.
    pub slots: Keeper<F>,
    /// Whether a file is a kernel of this machine; if not, why.
    pub is_kernel: KernelCheck,
    /// The setting `upgradekey`, as it is now.
    pub key: Box<dyn Fn() -> Option<String>>,
    /// Has the machine stop cleanly and start again.
    pub restart: Box<dyn Fn()>,
}

/// The new kernel that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewKernel {
    pub(super) slot: Slot,
    pub(super) sha256: [u8; 32],
    /// DER, as `openssl dgst -sha256 -sign` makes it.
    pub(super) signature: Option<Vec<u8>>,
}

impl<F: BlockDevice> Upgrades<F> {
    /// What is wrong with a kernel.
    fn check(&self, file: &[u8], signature: Option<&[u8]>) -> Result<(), String> {
        if let Some(key) = (self.key)() {
            let key: PublicKey =
                key.parse().map_err(|error: BadKey| format!("upgradekey= of granary.ini: {error}"))?;
            let signature = signature
                .ok_or("it is not signed, and granary.ini has an upgradekey=: `granary key sign` signs it")?;
            if !key.has_signed(file, signature) {
                return Err("its signature is not by the upgradekey= of granary.ini".into());
            }
        }
        (self.is_kernel)(file)
    }
}

fn slot_error(error: SlotError) -> Error {
    match error {
        SlotError::Fat(error) => fat_error(error),
        error => Error::new(error),
    }
}

impl<D: BlockDevice + 'static, F: BlockDevice, C: Clock> NodeFiles<D, F, C> {
    fn upgrades(&self) -> Result<&Upgrades<F>, Error> {
        let missing =
            || Error::new("this node is no machine with a 9fat of its own: its kernel is not changed here");
        self.tree.upgrades.as_ref().ok_or_else(missing)
    }

    /// Has a kernel that lies in 9fat started next time.
    pub(super) async fn upgrade(&self, new: &NewKernel) -> Result<(), Error> {
        let upgrades = self.upgrades()?;
        let check = |file: &[u8]| upgrades.check(file, new.signature.as_deref());
        let done = upgrades.slots.upgrade(new.slot, &new.sha256, check, self.tree.clock.wall()).await;
        done.map_err(slot_error)?;
        log::info!("upgrade: {} is started next time", new.slot.file());
        Ok(())
    }

    /// Has the other kernel started next time.
    pub(super) async fn roll_back(&self) -> Result<(), Error> {
        let slot = self.upgrades()?.slots.roll_back(self.tree.clock.wall()).await.map_err(slot_error)?;
        log::info!("rollback: {} is started next time", slot.file());
        Ok(())
    }

    /// Has the machine start again.
    pub(super) fn restart(&self) -> Result<(), Error> {
        (self.upgrades()?.restart)();
        Ok(())
    }

    /// Refuses to touch a kernel that the node needs.
    pub(super) async fn spare_kernel(&self, path: &str) -> Result<(), Error> {
        let (Some(upgrades), Some(slot)) = (self.tree.upgrades.as_ref(), Slot::of_file(path)) else {
            return Ok(());
        };
        let slots = upgrades.slots.record().await.map_err(fat_error)?;
        let needed = slots.and_then(|slots| slots.good);
        match upgrades.slots.running() == Some(slot) || needed == Some(slot) {
            true => Err(slot_error(SlotError::InUse(slot))),
            false => Ok(()),
        }
    }

    /// Lines of `status`.
    pub(super) async fn kernel_lines(&self) -> String {
        let Some(upgrades) = &self.tree.upgrades else { return String::new() };
        let name = |slot: Option<Slot>| slot.map_or("none".to_string(), |slot| slot.to_string());
        let mut text = format!("kernel-runs {}\n", name(upgrades.slots.running()));
        if let Ok(Some(slots)) = upgrades.slots.record().await {
            text += &format!("kernel-next {}\nkernel-served {}\n", slots.next, name(slots.good));
            if let Some(failed) = slots.failed {
                text += &format!("kernel-failed {failed}\n");
            }
        }
        if let Ok(free) = upgrades.slots.free().await {
            text += &format!("kernel-upgrade {free}\n");
        }
        text
    }
}

/// Whether only the node itself writes this file.
pub(super) fn is_record(path: &str) -> bool {
    path.eq_ignore_ascii_case(FILE)
}

/// Refuses a change of the key that kernels are signed with: whoever has the disk may make it, and nobody else.
pub(super) fn check_key(before: &[u8], after: &[u8]) -> Result<(), Error> {
    let key = |text: &[u8]| {
        let mut settings = Settings::default();
        let _ = settings.apply_file(settings::FILE, text);
        settings.upgrade_key
    };
    match key(before) {
        Some(before) if key(after) != Some(before.clone()) => Err(Error::new(
            "upgradekey= is set: it is changed on the disk itself alone, by `granary fat put`",
        )),
        _ => Ok(()),
    }
}
