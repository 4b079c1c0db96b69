//! Which arena is due: those that were never verified, then those whose last time is longest ago.
//!
//! What an arena has taken since it was last verified is due earlier than the whole: damage that is found while a
//! client still has the block is easily mended. Must not know how an arena is verified.

use super::record::{ScrubRecord, ScrubRecords};
use crate::Timestamp;
use crate::format::Name;

/// Seconds until what was added to an arena is verified.
const REST_AFTER: u32 = 3600;

/// What the schedule knows of an arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) name: Name,
    /// Durable clumps, and the bytes of log that they take.
    pub(crate) clumps: u32,
    pub(crate) used: u64,
    /// It was verified since the store was opened.
    pub(crate) seen: bool,
}

/// What of an arena is to be verified now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// All of it.
    Whole,
    /// What comes behind this much.
    Rest { clumps: u32, bytes: u64 },
}

/// What of the arena is due at `now`, if every arena is to be verified once in `period` seconds.
fn due(arena: &Standing, record: Option<&ScrubRecord>, now: Timestamp, period: u32) -> Option<Due> {
    if arena.clumps == 0 {
        return None;
    }
    let Some(record) = record else { return Some(Due::Whole) };
    let since = |time: Timestamp| now.0.checked_sub(time.0);
    // A record from the future, or of more than there is, was made under another clock or of another disk.
    let believable = record.bytes <= arena.used
        && record.clumps <= arena.clumps
        && since(record.ended).is_some()
        && record.begun <= record.ended;
    let late = since(record.begun).is_none_or(|age| age >= period);
    // What is lost is known by place only while the store is open; whoever heals it must be able to ask.
    let forgotten = record.lost > 0 && !arena.seen;
    if !believable || late || forgotten {
        return Some(Due::Whole);
    }
    let grown = record.clumps < arena.clumps && since(record.ended).is_some_and(|age| age >= REST_AFTER);
    grown.then_some(Due::Rest { clumps: record.clumps, bytes: record.bytes })
}

/// The arena to verify next, by its number in `arenas`, and what of it.
pub(crate) fn next(
    arenas: impl Iterator<Item = Standing>,
    records: &ScrubRecords,
    now: Timestamp,
    period: u32,
) -> Option<(usize, Due)> {
    let waiting = arenas.enumerate().filter_map(|(number, arena)| {
        let record = records.get(&arena.name);
        let due = due(&arena, record, now, period)?;
        Some((record.map_or(Timestamp(0), |record| record.ended), number, due))
    });
    waiting.min_by_key(|(ended, number, _)| (*ended, *number)).map(|(_, number, due)| (number, due))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::SealResult;

    const PERIOD: u32 = 86_400;

    fn arena(name: &str, clumps: u32) -> Standing {
        Standing { name: Name::new(name).unwrap(), clumps, used: u64::from(clumps) * 100, seen: true }
    }

    fn record(begun: u32, ended: u32, clumps: u32) -> ScrubRecord {
        ScrubRecord {
            begun: Timestamp(begun),
            ended: Timestamp(ended),
            clumps,
            bytes: u64::from(clumps) * 100,
            damaged: 0,
            lost: 0,
            seal: SealResult::None,
        }
    }

    fn due_at(now: u32, clumps: u32, record: ScrubRecord) -> Option<Due> {
        due(&arena("a", clumps), Some(&record), Timestamp(now), PERIOD)
    }

    #[test]
    fn an_arena_is_due_when_it_is_new_and_again_after_the_period() {
        assert_eq!(due(&arena("a", 5), None, Timestamp(5), PERIOD), Some(Due::Whole));
        assert_eq!(due(&arena("a", 0), None, Timestamp(5), PERIOD), None);
        assert_eq!(due_at(1000 + PERIOD - 1, 5, record(1000, 1500, 5)), None);
        assert_eq!(due_at(1000 + PERIOD, 5, record(1000, 1500, 5)), Some(Due::Whole));
    }

    #[test]
    fn what_was_added_is_due_before_the_whole() {
        let verified = record(1000, 1500, 5);
        assert_eq!(due_at(1500 + REST_AFTER - 1, 6, verified), None);
        assert_eq!(due_at(1500 + REST_AFTER, 6, verified), Some(Due::Rest { clumps: 5, bytes: 500 }));
    }

    #[test]
    fn a_record_that_cannot_be_true_is_not_believed() {
        assert_eq!(due_at(2000, 4, record(1000, 1500, 5)), Some(Due::Whole));
        assert_eq!(due_at(1400, 5, record(1000, 1500, 5)), Some(Due::Whole));
        assert_eq!(due_at(2000, 5, record(1600, 1500, 5)), Some(Due::Whole));
    }

    #[test]
    fn an_arena_with_lost_blocks_is_verified_after_each_start() {
        let lost = ScrubRecord { lost: 1, ..record(1000, 1500, 5) };
        assert_eq!(due_at(2000, 5, lost), None);
        let unseen = Standing { seen: false, ..arena("a", 5) };
        assert_eq!(due(&unseen, Some(&lost), Timestamp(2000), PERIOD), Some(Due::Whole));
    }

    #[test]
    fn the_longest_ago_comes_first() {
        let mut records = ScrubRecords::default();
        for (name, ended) in [("a", 500), ("b", 400), ("c", 90_000)] {
            records.set(Name::new(name).unwrap(), record(ended, ended, 5));
        }
        let pick = |names: &[&str]| {
            let arenas = names.iter().map(|name| arena(name, 5));
            next(arenas, &records, Timestamp(100_000), PERIOD).map(|(number, _)| number)
        };
        assert_eq!(pick(&["a", "b", "c", "d"]), Some(3));
        assert_eq!(pick(&["a", "b", "c"]), Some(1));
        assert_eq!(pick(&["c"]), None);
    }
}
