//! What the disks hold; and the first disk of a node that has none: a blank one is laid out.
//!
//! Knows when a node has nothing. Must not know what is written to a disk, nor in which order.

use crate::disk::Disk;
use crate::entropy;
use crate::time;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use net::rng::Rng;
use storage::disk::survey::{FindingKind, NamedDisk, Survey, survey};
use storage::make::disk::{Content, Made, Plan, State, lay_out, state};

/// What a new node is told.
const SETTINGS: &str = "# Settings of this node: key=value, one a line.\n";

/// Looks at all disks; if there is nothing of a node on any of them, makes one of the first that is blank.
pub(super) async fn survey_or_make(disks: &[NamedDisk<Rc<Disk>>]) -> Survey<Rc<Disk>> {
    let found = survey(disks).await;
    if !has_nothing(&found) {
        return found;
    }
    for disk in candidates(disks, &found) {
        match make(disk).await {
            Ok(Some(made)) => {
                log::info!(
                    "{}: it is this node's disk now: 9fat, index, {} arenas for {} MiB of blocks. It has no loader: the \
                     machine is started as before",
                    disk.name,
                    made.arenas,
                    made.arena_bytes >> 20
                );
                return survey(disks).await;
            }
            Ok(None) => {}
            Err(why) => log::error!("{}: it cannot be laid out: {why}", disk.name),
        }
    }
    found
}

/// Whether this is a new machine. A disk that is damaged may be the node's own.
fn has_nothing<D>(survey: &Survey<D>) -> bool {
    let parts = &survey.parts;
    let no_store = parts.arenas.is_empty() && parts.index_sections.is_empty() && parts.bloom.is_none();
    no_store && survey.nine_fat.is_none() && !survey.findings.iter().any(|finding| finding.what.is_damage())
}

/// The disks on which nothing was found: first those that were begun.
fn candidates<'a>(
    disks: &'a [NamedDisk<Rc<Disk>>],
    survey: &'a Survey<Rc<Disk>>,
) -> impl Iterator<Item = &'a NamedDisk<Rc<Disk>>> {
    let told = |kind: FindingKind| {
        let is_told = move |disk: &&NamedDisk<Rc<Disk>>| {
            survey.findings.iter().any(|finding| finding.disk == disk.name && finding.what == kind)
        };
        disks.iter().filter(is_told).filter(|disk| !disk.device.is_read_only())
    };
    told(FindingKind::Unfinished).chain(told(FindingKind::Blank))
}

/// Lays out a disk if nothing stands on it; `None` if something does.
async fn make(disk: &NamedDisk<Rc<Disk>>) -> Result<Option<Made>, String> {
    let NamedDisk { name, device } = disk;
    let plan = Plan::of(device).map_err(|error| error.to_string())?;
    let rng = entropy::rng().map_err(|error| error.to_string())?;
    let random = || rng.next_u64() as u32;
    let (plan, begun) = match state(device).await.map_err(|error| error.to_string())? {
        State::Blank => {
            log::info!("{name}: it is blank, and no other disk has a store: it is laid out now");
            let begun = plan.begin(random);
            (plan, begun)
        }
        State::Unfinished(begun) => {
            log::info!("{name}: laying it out was begun, and is done again");
            (plan.resumed(&begun).map_err(|error| error.to_string())?, begun)
        }
        State::Used => {
            log::warn!(
                "{name}: something stands on it, though nothing that is known here: it is not touched"
            );
            return Ok(None);
        }
    };
    let content = Content { settings: SETTINGS, ..Content::default() };
    let made = lay_out(device, &plan, &begun, &content, time::wall(), random, |_, _| ()).await;
    made.map(Some).map_err(|error| format!("{error}"))
}
