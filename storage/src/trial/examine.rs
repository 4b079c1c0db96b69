//! What becomes of a store after the worst: it opens, has what it owes, takes more, stops cleanly, opens again without any
//! recovery, and its disks are then what another venti expects.

use super::Finding;
use super::audit::copies;
use super::clients::NOW;
use super::model::{Model, Owed, Seen};
use super::rig::Rig;
use crate::block_type::BlockType;
use crate::device::{BlockDevice, Image};
use crate::partition::Partition;
use crate::recovery::OpenReport;
use crate::simulation::block_on;
use crate::store::{DamageCause, OpenError, Store, StoreError, StoreSettings};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bytes::Bytes;

/// How a store is looked at after a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Examination {
    pub(super) owed: Owed,
    pub(super) settings: StoreSettings,
    /// It was stopped cleanly, so nothing may need recovery.
    pub(super) clean: bool,
    /// Nothing but a repair explains two copies of one block, and there was none.
    pub(super) single: bool,
    /// A machine that ran on after a fault may have left its directory ahead of its log; a reader does not mind.
    pub(super) skip_raw: bool,
    /// Where an essential header may be damaged the store may refuse to open.
    pub(super) may_refuse: bool,
    /// Where a directory is damaged, blocks that are there may be hidden.
    pub(super) may_hide: bool,
    /// Damage is such that whoever denies a block must have noticed it.
    pub(super) never_silent: bool,
}

/// What the first look has found, for the second.
struct First {
    /// Arenas whose entries found no room in the index, by number.
    stuck: BTreeSet<usize>,
    /// Everything synced was written again.
    healed: bool,
    /// Memory held the whole index.
    index_in_memory: bool,
}

/// A store on simulated disks of any kind.
pub(super) type RigStore<D> = Store<Partition<Rc<D>>>;

/// Opens the store of a rig.
pub(super) async fn open<D: BlockDevice + 'static>(
    rig: &Rig,
    devices: &[Rc<D>],
    settings: StoreSettings,
) -> Result<(RigStore<D>, OpenReport), OpenError> {
    Store::open(rig.parts(devices), settings, NOW).await
}

impl Examination {
    /// Looks at the store on these disks; `image` tells what is on one. Returns what they hold after a clean stop.
    pub(super) fn of<D: BlockDevice + 'static>(
        &self,
        rig: &Rig,
        model: &Model,
        disks: &[Rc<D>],
        image: impl Fn(&D) -> Image,
    ) -> Result<(Seen, Vec<Image>), Finding> {
        let images = || disks.iter().map(|disk| image(disk)).collect::<Vec<Image>>();
        if self.owed == Owed::All && !self.skip_raw {
            rig.audit_any(&images(), &BTreeSet::new())?;
        }
        let (store, report) = match block_on(open(rig, disks, self.settings)) {
            Ok(opened) => opened,
            Err(_) if self.may_refuse => {
                return Ok((Seen { refused: true, ..Seen::default() }, images()));
            }
            Err(error) => return Err(format!("does not open: {error}")),
        };
        if self.clean && !untouched(&report) {
            return Err(format!("a clean stop needed recovery: {report:?}"));
        }
        if let Some(error) = &report.not_durable {
            return Err(format!("what was recovered is not durable: {error}"));
        }
        let mut seen = block_on(model.check(&store, self.owed))?;
        seen.reported = !report.damage.is_empty() || store.status().damage_count > 0;
        // Where memory does not hold the index, a lost entry looks like one that never was.
        if self.never_silent && seen.denied > 0 && !seen.reported && !report.index_on_disk {
            return Err(format!("{} synced blocks are denied, and no damage was reported", seen.denied));
        }
        let healed = block_on(self.write_more(model, &store))?;
        let first = First { stuck: stuck(&store), healed, index_in_memory: !report.index_on_disk };
        drop(store);
        let after = images();
        block_on(self.look_again(rig, model, disks, &after, &first))
            .map_err(|finding| format!("closed and opened again: {finding}"))?;
        Ok((seen, after))
    }

    /// Writes something new and everything synced again, and stops cleanly. `false` if not all of it found room.
    async fn write_more<D: BlockDevice + 'static>(
        &self,
        model: &Model,
        store: &RigStore<D>,
    ) -> Result<bool, Finding> {
        let extra =
            Bytes::from_static(b"what is written after a fault is as good as what was written before");
        let mut lumps = alloc::vec![(BlockType::DATA, extra)];
        lumps.extend(model.synced_lumps());
        let mut healed = true;
        for (block_type, lump) in lumps {
            match store.write(block_type, lump.clone(), NOW).await {
                Ok(score) => match store.read(score, block_type).await {
                    Ok(read) if read == lump => {}
                    other => {
                        return Err(format!("{score} was written after the fault, and read as {other:?}"));
                    }
                },
                Err(StoreError::NoSpace | StoreError::IndexFull) => healed = false,
                // The first lump of this score was lost, and the second one taken.
                Err(StoreError::Collision(_)) if self.owed == Owed::NoLies => healed = false,
                Err(error) => return Err(format!("writing after the fault: {error}")),
            }
        }
        match store.close().await {
            Ok(()) => {}
            // An index that cannot be read cannot be completed; blocks are safe all the same.
            Err(StoreError::Device { .. }) if self.owed == Owed::AllButExcused => {
                store.sync().await.map_err(|error| format!("no sync after the fault: {error}"))?;
            }
            Err(error) => return Err(format!("closing after the fault: {error}")),
        }
        Ok(healed)
    }

    /// Opens once more what was stopped cleanly.
    async fn look_again<D: BlockDevice + 'static>(
        &self,
        rig: &Rig,
        model: &Model,
        disks: &[Rc<D>],
        images: &[Image],
        first: &First,
    ) -> Result<(), Finding> {
        let opened = open(rig, disks, self.settings).await;
        let (store, report) = opened.map_err(|error| format!("does not open: {error}"))?;
        if self.owed == Owed::All {
            if !untouched(&report) {
                return Err(format!("recovered again: {report:?}"));
            }
            rig.audit_closed(images, &first.stuck)?;
            if self.single
                && let Some(score) = copies(&rig.read_arenas(images)?, |key| model.was_given(key))
            {
                return Err(format!("{score} is stored twice"));
            }
        }
        // What was written again is back, whatever had become of it, unless there was no room.
        // Memory may have known blocks that a dishonest disk has lost from its index; so nothing stored them again.
        let lost_from_index = self.owed == Owed::NoLies && first.index_in_memory && report.index_on_disk;
        let owed = if first.healed && !self.may_hide && !lost_from_index {
            self.owed.max(Owed::Synced)
        } else {
            self.owed
        };
        model.check(&store, owed).await.map(|_| ())
    }
}

/// Whether opening found nothing to do and nothing wrong.
fn untouched(report: &OpenReport) -> bool {
    report.arenas.is_empty() && report.damage.is_empty() && report.not_durable.is_none()
}

/// Arenas whose entries found no room in the index, by number.
fn stuck<D: BlockDevice + 'static>(store: &RigStore<D>) -> BTreeSet<usize> {
    let status = store.status();
    let full = status.damage.iter().filter(|damage| damage.cause == DamageCause::BucketFull);
    let names: BTreeSet<_> = full.map(|damage| damage.arena).collect();
    let numbered = status.arenas.iter().enumerate();
    numbered.filter(|(_, arena)| names.contains(&arena.name)).map(|(number, _)| number).collect()
}
