//! Venti's configuration, where it stands inside a partition (venti/conf): what of it counts here.
//!
//! It chooses the partitions of the disk that it is on, if it names some, and all that it names are there: of several stores
//! on one disk it says which is served. Its paths are those of another system, so only their last words are compared.
//! Must not know what the partitions hold.

use super::survey::{Finding, FindingKind, Survey};
use crate::device::{BlockDevice, read_bytes};
use crate::format::config::{
    CONFIG_LEN, CONFIG_OFFSET, ConfigError, PartitionPart, PartitionSpec, VentiConfig,
};
use crate::partition::Partition;
use crate::store::StorePart;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A line that does nothing here, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("venti's configuration in {part}: `{line}` is ignored: {reason}")]
pub struct IgnoredLine {
    /// The partition that it stands in.
    pub part: String,
    /// The line.
    pub line: String,
    /// Why.
    pub reason: &'static str,
}

/// Obeys the configurations in the parts that were found; the first one is kept for what else it says.
pub(super) async fn obey<D: BlockDevice + Clone>(survey: &mut Survey<D>) {
    let parts = survey.parts.arenas.iter().chain(&survey.parts.index_sections);
    let parts: Vec<StorePart<Partition<D>>> = parts.cloned().collect();
    let mut obeyed: Vec<String> = Vec::new();
    for StorePart { name, device } in parts {
        let disk = disk_of(&name).to_string();
        // What a disk cannot read it cannot obey; whoever opens the part will see.
        let Ok(block) = read_bytes(&device, CONFIG_OFFSET, CONFIG_LEN).await else { continue };
        if obeyed.contains(&disk) {
            continue;
        }
        let config = match VentiConfig::parse_block(&block) {
            Ok(config) => config,
            Err(ConfigError::NoConfig) => continue,
            Err(error) => {
                tell(survey, &disk, FindingKind::BadConfig { part: name, error });
                continue;
            }
        };
        choose(survey, &disk, &name, &config);
        obeyed.push(disk.clone());
        if survey.config.is_none() {
            for line in ignored(&name, &config) {
                tell(survey, &disk, FindingKind::Ignored(line));
            }
            survey.config = Some(config);
        }
    }
}

fn tell<D>(survey: &mut Survey<D>, disk: &str, what: FindingKind) {
    survey.findings.push(Finding { disk: disk.to_string(), what });
}

/// Leaves out what is on the disk and is not named, unless something is named that is not there: then the configuration
/// is for another system's view of the disks.
fn choose<D: Clone>(survey: &mut Survey<D>, disk: &str, part: &str, config: &VentiConfig) {
    let kinds = [&config.arenas[..], &config.sections, config.bloom.as_slice()];
    let parts = &survey.parts;
    let blooms: Vec<_> = parts.bloom.iter().chain(&survey.more_blooms).cloned().collect();
    let found = [&parts.arenas[..], &parts.index_sections, &blooms];
    let is_there = |path: &str, found: &[StorePart<_>]| found.iter().any(|part| is_named(path, &part.name));
    let missing = kinds
        .iter()
        .zip(found)
        .find_map(|(named, found)| named.iter().find(|path| !is_there(path, found)).cloned());
    if let Some(path) = missing {
        return tell(survey, disk, FindingKind::ConfiguredElsewhere { part: part.to_string(), path });
    }
    if kinds[0].is_empty() {
        return;
    }
    let mut left_out = Vec::new();
    let mut keep = |found: &mut Vec<StorePart<Partition<D>>>, named: &[String]| {
        let place = |name: &str| named.iter().position(|path| is_named(path, name));
        found.retain(|part| {
            let keeps = disk_of(&part.name) != disk || place(&part.name).is_some();
            if !keeps {
                left_out.push(last_word(&part.name).to_string());
            }
            keeps
        });
        found.sort_by_key(|part| place(&part.name).unwrap_or(named.len()));
    };
    keep(&mut survey.parts.arenas, kinds[0]);
    keep(&mut survey.parts.index_sections, kinds[1]);
    let mut blooms = blooms;
    keep(&mut blooms, kinds[2]);
    survey.parts.bloom = blooms.into_iter().next();
    for name in left_out {
        tell(survey, disk, FindingKind::LeftOut { name, part: part.to_string() });
    }
}

/// `disk0` of `disk0/arenas`.
fn disk_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(disk, _)| disk)
}

/// `arenas` of `disk0/arenas`, of `/dev/sdF0/arenas`, and of `#S/sdF0/arenas`.
fn last_word(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a path of a configuration means this part.
pub(crate) fn is_named(path: &str, part: &str) -> bool {
    let name = match PartitionSpec::parse(path) {
        Some(PartitionSpec { part: PartitionPart::Named(name), .. }) => name,
        Some(PartitionSpec { file, part: PartitionPart::Whole }) => last_word(file),
        _ => return false,
    };
    name == last_word(part)
}

/// What says something, and does nothing here.
fn ignored(part: &str, config: &VentiConfig) -> Vec<IgnoredLine> {
    let text =
        |keyword: &str, value: &Option<String>| value.as_ref().map(|value| format!("{keyword} {value}"));
    let lines = [
        (
            config.bcmem.map(|bytes| format!("bcmem {bytes}")),
            "blocks are not read through a cache of the disk's; `dirty=` in granary.ini bounds what waits to be written",
        ),
        (
            config.queue_writes.then(|| "queuewrites".to_string()),
            "writes always wait in memory, until a sync or until there are many",
        ),
        (text("addr", &config.addr), "the port is 17034, and `venti=` in granary.ini says who may come"),
        (
            text("httpaddr", &config.httpaddr),
            "the port is 8000, and `http=` in granary.ini says who may come",
        ),
        (text("webroot", &config.webroot), "no files are served by HTTP"),
    ];
    let told = |(line, reason): (Option<String>, &'static str)| {
        line.map(|line| IgnoredLine { part: part.to_string(), line, reason })
    };
    lines.into_iter().filter_map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::super::survey::{NamedDisk, survey};
    use super::*;
    use crate::device::ram::RamDisk;
    use crate::device::write_bytes;
    use crate::disk::prep;
    use crate::make::{ArenaOptions, arenas, bloom_filter, section};
    use crate::simulation::block_on;
    use alloc::rc::Rc;
    use bytes::Bytes;

    /// A disk with two stores, and this configuration in `arenas`.
    fn disk(config: &str) -> Rc<RamDisk> {
        let names = ["arenas", "oldarenas", "isect2", "isect1", "oldisect", "oldbloom", "bloom"];
        let part = |(number, name): (u64, &&str)| prep::Part {
            name: name.to_string(),
            start: 2048 + number * 8192,
            end: 2048 + (number + 1) * 8192,
        };
        let parts: Vec<prep::Part> = (0..).zip(&names).map(part).collect();
        let disk = Rc::new(RamDisk::new(512, 64 << 11));
        block_on(async {
            let table = prep::encode(&parts, 512).unwrap();
            write_bytes(&disk, 512, Bytes::from(table)).await.unwrap();
            for prep::Part { name, start, end } in &parts {
                let device = Partition::new(name.clone(), disk.clone(), *start, end - start).unwrap();
                match name.as_str() {
                    name if name.contains("arenas") => {
                        let options = ArenaOptions { name, ..ArenaOptions::default() };
                        arenas(&device, options, || 7, |_, _| ()).await.unwrap();
                        let block = format!("venti config\n{config}");
                        if name == "arenas" {
                            write_bytes(&device, CONFIG_OFFSET, Bytes::from(pad(block))).await.unwrap();
                        }
                    }
                    name if name.contains("isect") => {
                        section(device, name, 8192, 9).await.unwrap();
                    }
                    _ => {
                        bloom_filter(&device, 1 << 20).await.unwrap();
                    }
                }
            }
        });
        disk
    }

    fn pad(text: String) -> Vec<u8> {
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn found(config: &str) -> (Vec<String>, Vec<String>, Survey<Rc<RamDisk>>) {
        let survey = block_on(survey(&[NamedDisk { name: "disk0".to_string(), device: disk(config) }]));
        let parts = &survey.parts;
        let parts = parts.arenas.iter().chain(&parts.index_sections).chain(&parts.bloom);
        let names = parts.map(|part| last_word(&part.name).to_string()).collect();
        (names, survey.findings.iter().map(ToString::to_string).collect(), survey)
    }

    #[test]
    fn a_configuration_chooses_the_parts_of_its_disk_and_their_order() {
        let (names, told, survey) = found(
            "index main\nisect /dev/sdF0/isect1\nisect /dev/sdF0/isect2\narenas disk.img:arenas\nbloom /dev/sdF0/bloom\n\
             mem 10m\nicmem 20m\n",
        );
        assert_eq!(names, ["arenas", "isect1", "isect2", "bloom"]);
        let expected: Vec<String> = ["oldarenas", "oldisect", "oldbloom"]
            .map(|name| {
                format!("disk0: partition {name} is left out: venti's configuration in disk0/arenas does not name it")
            })
            .into();
        assert_eq!(told, expected);
        let config = survey.config.unwrap();
        assert_eq!((config.mem, config.icmem), (Some(10 << 20), Some(20 << 20)));
    }

    #[test]
    fn one_that_names_what_is_not_there_chooses_nothing_and_is_told() {
        for arenas in ["/dev/sdF0/arenas9", "arenas:0-1m"] {
            let (names, told, _) = found(&format!("index main\nisect isect1\narenas {arenas}\n"));
            assert_eq!(names.len(), 6, "{arenas}");
            let expected = format!(
                "disk0: venti's configuration in disk0/arenas names {arenas}, which is on no disk here: whatever was \
                 found is served"
            );
            assert!(told.contains(&expected), "{told:?}");
        }
    }

    #[test]
    fn what_does_nothing_here_is_told_with_the_reason_and_a_wrong_line_with_its_number() {
        let (_, told, _) = found(
            "index main\nisect isect1\narenas arenas\nbcmem 5m\nqueuewrites\naddr tcp!*!17034\nhttpaddr tcp!*!80\n\
             webroot /w\n",
        );
        let ignored: Vec<&str> = told
            .iter()
            .filter_map(|line| line.split('`').nth(1).filter(|_| line.contains("ignored")))
            .collect();
        let lines = ["bcmem 5242880", "queuewrites", "addr tcp!*!17034", "httpaddr tcp!*!80", "webroot /w"];
        assert_eq!(ignored, lines);
        let (names, told, survey) = found("index main\nnonsense at all here\n");
        assert_eq!((names.len(), survey.config), (6, None));
        assert!(told[0].contains("configuration line 2"), "{told:?}");
    }
}
