//! Bringing a damaged store back from what is whole in it, offline: a plan first, then writing.
//!
//! | module | what |
//! |---|---|
//! | `step` | what will be done, and what is left, in words |
//! | `arena` | head, clump headers, directory and tail of one arena |
//! | `index` | sections, buckets, filter |
//!
//! The plan is made by reading alone. Writing keeps the order that a server keeps: log, directory, tail, each flushed
//! before the next; then the index and the filter; then what tails say of the index; then seals. A power cut in between
//! leaves a store of which the same plan can be made again. Nothing is written that was not understood.
//!
//! Must not know who decides that a plan is carried out, nor where randomness comes from.

mod arena;
mod index;
mod step;

pub use step::{Action, Left, LeftReason, LostBlock, Step};

use crate::Timestamp;
use crate::check::arena::Survey;
use crate::check::index::{Index, Known};
use crate::check::log::State;
use crate::check::partition::{Arenas, Partition};
use crate::check::{self, Report, Watch};
use crate::device::{BlockDevice, DeviceError, write_bytes};
use crate::format::Name;
use crate::format::index_config::pad_text;
use crate::format::prelude::PRELUDE_LEN;
use crate::store::{StorePart, StoreParts};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use arena::ArenaPlan;
use bytes::Bytes;
use check::buckets::Following;
use index::FilterPlan;

/// How a store is brought back.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Clumps whose data is lost are covered, too: the log is whole for every tool then, and their names are gone.
    pub fill: bool,
    /// Goes into fillers.
    pub now: Timestamp,
}

/// What is to be done.
pub struct Plan<'a, D> {
    /// What is wrong, as a check would have it.
    pub report: Report,
    /// What will be written, in order; nothing where all is well.
    pub steps: Vec<Step>,
    /// What is left as it is.
    pub left: Vec<Left>,
    /// Blocks that are named here, and of which no copy is whole.
    pub lost: Vec<LostBlock>,
    parts: &'a StoreParts<D>,
    partitions: Vec<Option<Partition>>,
    arenas: Vec<Planned>,
    index: Option<Index<'a, D>>,
    known: Known,
    filter: Option<FilterPlan>,
    /// Every clump finds room in the index.
    all_indexed: bool,
}

/// An arena that something may be written in.
struct Planned {
    partition: usize,
    name: Name,
    mapped: bool,
    plan: ArenaPlan,
}

/// Reads a store through and plans what brings it back. `magic` gives a random number for each arena that must be made
/// anew.
///
/// # Errors
/// Only [`DeviceError::Gone`]; what cannot be read is part of the plan.
pub async fn plan<'a, D: BlockDevice>(
    parts: &'a StoreParts<D>,
    settings: Settings,
    mut magic: impl FnMut() -> u32,
    watch: &mut impl Watch,
) -> Result<Plan<'a, D>, DeviceError> {
    let mut report = Report::default();
    let mut arenas = check::partition::read(&parts.arenas, &mut report).await?;
    let index = check::index::read(&parts.index_sections, &arenas, &mut report).await?;
    check::index::place(index.as_ref(), &mut arenas, &parts.arenas, &mut report);
    check::expect(&arenas, index.as_ref(), parts.bloom.as_ref(), watch);
    let Arenas { partitions, places } = arenas;
    let mut plan = Plan {
        report,
        steps: Vec::new(),
        left: Vec::new(),
        lost: Vec::new(),
        parts,
        partitions,
        arenas: Vec::new(),
        index,
        known: Known::default(),
        filter: None,
        all_indexed: true,
    };
    let mut search = true;
    for place in &places {
        let part = &parts.arenas[place.partition];
        let survey = check::arena::survey(&part.device, place, search, watch).await?;
        search &= survey.walked.clumps.is_empty();
        let sum = check::arena::sum(&part.device, &survey, watch).await?;
        check::arena::report(&part.name, &survey, sum, plan.index.is_some(), &mut plan.report);
        plan.lost.extend(lost_clumps(&survey));
        match arena::make(&part.device, &survey, sum, &settings, &mut magic).await? {
            Ok((made, clumps)) => {
                let clumps = clumps.iter().map(|clump| (clump.offset, clump.header, clump.whole));
                plan.known.add_clumps(&survey, clumps);
                let (partition, name, mapped) = (place.partition, place.range.name, place.address.is_some());
                plan.arenas.push(Planned { partition, name, mapped, plan: made });
            }
            Err(reason) => {
                plan.known.add(&survey);
                plan.leave(part, Some(place.range.name), reason);
            }
        }
    }
    plan.known.sort();
    plan.settle_seals();
    plan.find_lost();
    plan.look_at_index(watch).await?;
    plan.write_down();
    Ok(plan)
}

impl<D: BlockDevice> Plan<'_, D> {
    fn leave(&mut self, part: &StorePart<D>, arena: Option<Name>, reason: LeftReason) {
        self.left.push(Left { partition: part.name.as_str().into(), arena, reason });
    }

    /// An arena whose tail is lost was sealed if others behind it were written, and no more fits into it.
    fn settle_seals(&mut self) {
        let mut later_has_clumps = false;
        for planned in self.arenas.iter_mut().rev() {
            let plan = &mut planned.plan;
            if plan.seal_unknown && later_has_clumps && plan.is_nearly_full() {
                plan.tail.written.sealed = true;
                plan.end_mark = None;
            }
            later_has_clumps |= plan.tail.written.clumps > 0;
        }
    }

    /// A lost clump is a lost block only if no other copy is whole.
    fn find_lost(&mut self) {
        let whole = |block: &LostBlock| {
            let key = (block.score, block.block_type);
            let from = self.known.clumps.partition_point(|one| (one.entry.score, one.entry.block_type) < key);
            let copies = self.known.clumps[from..].iter();
            let mut copies = copies.take_while(|one| (one.entry.score, one.entry.block_type) == key);
            copies.any(|copy| copy.whole)
        };
        self.lost.retain(|block| !whole(block));
        self.lost.sort_unstable();
        self.lost.dedup();
    }

    async fn look_at_index(&mut self, watch: &mut impl Watch) -> Result<(), DeviceError> {
        for (number, part) in self.parts.arenas.iter().enumerate() {
            let partition = &self.partitions[number];
            if partition.as_ref().is_none_or(|partition| partition.lost && partition.incomplete) {
                self.leave(part, None, LeftReason::NoMap);
            }
        }
        if self.index.is_none() {
            for part in &self.parts.index_sections {
                self.leave(part, None, LeftReason::NoIndex);
            }
        }
        if let Some(index) = &self.index {
            let findings = &mut self.report.findings;
            self.report.index = Some(check::buckets::check(index, &self.known, watch, findings).await?);
        }
        if let Some(part) = &self.parts.bloom {
            check::bloom::check(part, &self.known, &mut (), &mut self.report.findings).await?;
            self.filter = index::plan_filter(part, &self.known, watch).await?;
            if self.filter.is_none() {
                self.leave(part, None, LeftReason::NoFilter);
            }
        }
        let mut left = Vec::new();
        let mut steps = Vec::new();
        if let Some(index) = &self.index {
            let mut following = Following::new(&self.known, index.spread);
            for section in &index.sections {
                let step = |action| Step { partition: section.name.clone(), arena: None, action };
                let done =
                    index::buckets(index, section, &mut following, &self.known, false, &mut ()).await?;
                if section.lost {
                    steps.push(step(Action::WriteFront));
                }
                if done.changed > 0 {
                    steps.push(step(Action::WriteBuckets { buckets: done.changed }));
                }
                if done.left_over > 0 {
                    let reason = LeftReason::FullBuckets(done.left_over);
                    left.push(Left { partition: section.name.clone(), arena: None, reason });
                    self.all_indexed = false;
                }
            }
        }
        self.left.append(&mut left);
        self.steps.append(&mut steps);
        Ok(())
    }

    /// Puts the steps of arenas in front of those of the index, and what follows the index behind them.
    fn write_down(&mut self) {
        let mut steps = Vec::new();
        for (part, partition) in self.parts.arenas.iter().zip(&self.partitions) {
            if partition.as_ref().is_some_and(is_to_write) {
                let partition = part.name.as_str().into();
                steps.push(Step { partition, arena: None, action: Action::WriteMap });
            }
        }
        let mut last = Vec::new();
        for planned in &self.arenas {
            let partition: Rc<str> = self.parts.arenas[planned.partition].name.as_str().into();
            let step = |action| Step { partition: partition.clone(), arena: Some(planned.name), action };
            steps.extend(actions(&planned.plan).map(step));
            if self.counts_indexed(planned) {
                last.push(step(Action::CountIndexed));
            }
            if self.is_to_sum(planned) {
                last.push(step(Action::Sum));
            }
        }
        steps.append(&mut self.steps);
        if let (Some(part), Some(filter)) = (&self.parts.bloom, &self.filter) {
            let header = filter.header_lost.then_some(Action::WriteFilterHeader);
            let blocks = (filter.unmarked > 0).then_some(Action::Mark { blocks: filter.unmarked });
            let step = |action| Step { partition: part.name.as_str().into(), arena: None, action };
            steps.extend(header.into_iter().chain(blocks).map(step));
        }
        steps.append(&mut last);
        self.steps = steps;
    }

    /// Whether the tail will say that everything is indexed, and does not say so yet.
    fn counts_indexed(&self, planned: &Planned) -> bool {
        let plan = &planned.plan;
        self.index.is_some() && self.all_indexed && planned.mapped && plan.tail.indexed != plan.tail.written
    }

    /// Whether the seal is to be computed: the arena is sealed, indexed, and has every byte that it should.
    fn is_to_sum(&self, planned: &Planned) -> bool {
        let tail = &planned.plan.tail;
        let indexed = tail.indexed == tail.written || self.counts_indexed(planned);
        let changes = planned.plan.sum || self.counts_indexed(planned);
        tail.written.sealed && indexed && planned.plan.whole && changes
    }

    /// Carries it out.
    ///
    /// # Errors
    /// A device failed; what was written until then stays, and a new plan goes on from there.
    pub async fn apply(&self, watch: &mut impl Watch) -> Result<(), DeviceError> {
        watch.expect(self.index.as_ref().map_or(0, Index::bytes));
        for (part, partition) in self.parts.arenas.iter().zip(&self.partitions) {
            if let Some(partition) = partition.as_ref().filter(|partition| is_to_write(partition)) {
                write_map(&part.device, partition).await?;
            }
        }
        for planned in self.arenas.iter().filter(|planned| planned.plan.is_to_write()) {
            planned.plan.write(&self.parts.arenas[planned.partition].device).await?;
        }
        if let Some(index) = &self.index {
            let mut following = Following::new(&self.known, index.spread);
            for section in &index.sections {
                if section.lost && index::write_front(index, section).await?.is_err() {
                    continue;
                }
                index::buckets(index, section, &mut following, &self.known, true, watch).await?;
            }
        }
        if let (Some(part), Some(filter)) = (&self.parts.bloom, &self.filter)
            && (filter.header_lost || filter.unmarked > 0)
        {
            index::write_filter(part, filter, &self.known, watch).await?;
        }
        for planned in &self.arenas {
            self.finish(planned, watch).await?;
        }
        Ok(())
    }

    /// What a tail says once the index is complete, and the seal.
    async fn finish(&self, planned: &Planned, watch: &mut impl Watch) -> Result<(), DeviceError> {
        let (plan, device) = (&planned.plan, &self.parts.arenas[planned.partition].device);
        let counts = self.counts_indexed(planned);
        let sums = self.is_to_sum(planned);
        let tail = if counts { plan.tail_indexed() } else { plan.tail };
        if counts || sums {
            // Also where the tail says this already: bytes around it that mean nothing would count in the sum.
            plan.write_tail(device, &tail, plan.seal).await?;
        }
        if !sums {
            return Ok(());
        }
        match check::arena::seal(device, &plan.geometry, watch).await? {
            Some(seal) if seal != plan.seal => plan.write_tail(device, &tail, seal).await,
            _ => Ok(()),
        }
    }
}

/// Blocks that an arena was to have and whose data is lost in it.
fn lost_clumps(survey: &Survey) -> impl Iterator<Item = LostBlock> {
    let counted = if survey.tail().is_some() { survey.counted().used } else { u64::MAX };
    let clumps = survey.walked.clumps.iter();
    let lost = clumps.filter(move |clump| clump.offset < counted && matches!(clump.state, State::Lost(_)));
    lost.map(|clump| LostBlock { score: clump.header.score, block_type: clump.header.block_type })
}

/// What is written in an arena before the index, in order.
fn actions(plan: &ArenaPlan) -> impl Iterator<Item = Action> {
    let written = plan.tail.written;
    let head = plan.head.is_some().then_some(Action::WriteHead);
    let (headers, fillers) = (plan.headers.len(), plan.fillers);
    let headers = (headers > 0).then_some(Action::WriteHeaders { headers, fillers });
    let mark = plan.end_mark.map(|_| Action::MarkEnd);
    let directory = plan.directory.as_ref().map(|_| Action::WriteDirectory { records: written.clumps });
    let tail = Action::WriteTail { clumps: written.clumps, used: written.used };
    let tail = (plan.tail_now != Some(plan.tail)).then_some(tail);
    let made = plan.fresh.then_some(Action::MakeArena);
    let others = [head, headers, mark, directory, tail].into_iter().flatten();
    let fresh = plan.fresh;
    made.into_iter().chain(others.filter(move |_| !fresh))
}

/// Whether header and map are known, and not there.
fn is_to_write(partition: &Partition) -> bool {
    partition.lost && !partition.incomplete
}

/// Writes map and header of an arena partition, the header last.
async fn write_map<D: BlockDevice>(device: &D, partition: &Partition) -> Result<(), DeviceError> {
    let mut text = String::new();
    partition.map.print(&mut text);
    // What was a map fits where a map stands.
    if let Ok(text) = pad_text(text, partition.header.map_len() as usize) {
        write_bytes(device, partition.header.map_base(), Bytes::from(text)).await?;
        device.flush().await?;
        let header = Bytes::copy_from_slice(&partition.header.encode());
        write_bytes(device, PRELUDE_LEN, header).await?;
        device.flush().await?;
    }
    Ok(())
}
