//! The node's settings: defaults, what a Plan 9 system's own `plan9.ini` says, then `granary.ini` in 9fat, then the
//! command line; and of memory what venti's own configuration says, where nothing else does.
//!
//! Knows the order, and that a wrong line costs itself alone. Must not know what the settings do.

use super::{Part, cloud};
use crate::disk::Disk;
use crate::start;
use alloc::rc::Rc;
use alloc::vec::Vec;
use storage::cloud::Given;
use storage::disk::survey::Survey;
use storage::fat::{FatError, Volume};
use storage::settings::{FILE, FILE_LEN_MAX, Plan9Ini, SettingError, Settings};

/// Reads the settings. Whatever is wrong is said on the console, and what it would have set keeps its default, which
/// is the safe choice for every key. Gives also those that hold where granary.ini and the command line are silent.
/// `given` comes from outside and is written to granary.ini before.
pub(super) async fn read(
    survey: &Survey<Rc<Disk>>,
    given: Option<&Given>,
    command_line: &str,
) -> (Settings, Settings) {
    if let Some(given) = given {
        cloud::apply(given, survey.nine_fat.as_ref()).await;
    }
    let mut base = Settings::default();
    let mut text = Vec::new();
    match &survey.nine_fat {
        None => log::warn!("no partition called 9fat, so no {FILE}: defaults and the command line hold"),
        Some(part) => {
            if let Ok(text) = read_file(part, Plan9Ini::FILE).await {
                take_over(&mut base, &Plan9Ini::parse(&text));
            }
            match read_file(part, FILE).await {
                Ok(found) => text = found,
                Err(error) => {
                    log::warn!("{}: {FILE}: {error}: defaults and the command line hold", part.name());
                }
            }
        }
    }
    let mut settings = base.clone();
    tell(&settings.apply_file(FILE, &text));
    let (others, errors) = settings.apply_command_line(command_line);
    tell(&errors);
    for word in others.into_iter().filter(|word| !start::knows_word(word)) {
        log::warn!("command line: {word:?} means nothing here");
    }
    if let Some(config) = &survey.config {
        settings.take_venti(config);
    }
    (settings, base)
}

/// What is taken from a Plan 9 system's own settings. Where its venti listens does not open ours: the system in front of
/// it may have kept strangers away, and here nothing does.
fn take_over(settings: &mut Settings, plan9: &Plan9Ini) {
    settings.take_plan9(plan9);
    if let Some(venti) = &plan9.venti {
        log::info!(
            "{}: venti={venti}: which networks may use venti here, `venti=` in {FILE} says",
            Plan9Ini::FILE
        );
    }
}

async fn read_file(part: &Part, name: &str) -> Result<Vec<u8>, FatError> {
    Volume::open(part.clone()).await?.read(name, FILE_LEN_MAX as u64).await
}

fn tell(errors: &[SettingError]) {
    for error in errors {
        log::error!("{error}; it is left out");
    }
}
