//! Disks behind a controller in memory that answers truly, wrongly, late or never.

use super::table::{FLUSH_PATIENCE_TICKS, PATIENCE_TICKS, PROBE_TICKS};
use super::*;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use std::collections::VecDeque;
use std::vec::Vec;

const SECTOR: u32 = 512;

/// What the controller was told, and what it will say.
#[derive(Default)]
struct State {
    commands: Vec<(u16, Work)>,
    answers: VecDeque<Result<(u16, Verdict), Problem>>,
    recovery: Option<Recovery>,
    recoveries: usize,
    fatal: bool,
    /// Slots for reads alone.
    read_slots: usize,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<State>>);

impl Engine for Fake {
    fn depth(&self) -> usize {
        8
    }
    fn read_slots(&self) -> usize {
        self.0.borrow().read_slots
    }
    fn submit(&mut self, slot: u16, work: &Work) -> bool {
        self.0.borrow_mut().commands.push((slot, work.clone()));
        true
    }
    fn complete(&mut self) -> Result<Option<(u16, Verdict)>, Problem> {
        self.0.borrow_mut().answers.pop_front().transpose()
    }
    fn examine(&mut self) -> Result<(), Problem> {
        if self.0.borrow().fatal { Err(Problem::Fatal(3)) } else { Ok(()) }
    }
    async fn recover(&mut self, pause: &impl AsyncFn(Duration)) -> Recovery {
        pause(Duration::from_millis(1)).await;
        let mut state = self.0.borrow_mut();
        state.recoveries += 1;
        state.fatal = false;
        state.answers.clear();
        state.commands.clear();
        state.recovery.unwrap_or(Recovery::Good { blamed: None, is_cache_kept: false })
    }
}

impl Fake {
    /// All that it was told since the last look.
    fn all(&self) -> Vec<(u16, Work)> {
        core::mem::take(&mut self.0.borrow_mut().commands)
    }

    fn next(&self) -> (u16, Work) {
        self.0.borrow_mut().commands.remove(0)
    }

    fn answer(&self, slot: u16, verdict: Verdict) {
        self.0.borrow_mut().answers.push_back(Ok((slot, verdict)));
    }
}

type Disk = Drive<Fake>;

fn geometry() -> Geometry {
    let geometry = Geometry {
        sector_size: SECTOR,
        sector_count: 1000,
        read_only: false,
        flushes: true,
        request_max: 4 * SECTOR,
    };
    geometry.checked().unwrap()
}

fn disk() -> (Fake, Rc<Host<Fake>>, Disk) {
    let fake = Fake::default();
    let host = Host::new(fake.clone());
    let disk = host.add("disk".into(), geometry());
    (fake, host, disk)
}

/// One turn of a future that nobody wakes.
macro_rules! turn {
    ($future:expr) => {
        $future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
}

/// A moment, and the recovery that may follow from it.
fn tick(host: &Host<Fake>) {
    host.tick();
    assert!(turn!(pin!(host.recover(&async |_| ()))).is_ready());
}

fn ticks(host: &Host<Fake>, count: u32) {
    (0..count).for_each(|_| tick(host));
}

const GONE: Poll<Result<(), DeviceError>> = Poll::Ready(Err(DeviceError::Gone));

fn bytes(len: usize) -> Bytes {
    Bytes::from(alloc::vec![7; len])
}

#[test]
fn answers_in_any_order_reach_who_asked() {
    let (fake, host, disk) = disk();
    let mut reads: Vec<_> = (0..6).map(|first| Box::pin(disk.read(first, 1))).collect();
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    for (slot, work) in fake.all().into_iter().rev().filter(|(_, work)| work.first != 3) {
        assert_eq!((work.kind, work.sectors), (Kind::Read, 1));
        fake.answer(slot, Verdict::Done);
    }
    host.complete();
    for (first, read) in reads.iter_mut().enumerate() {
        assert_eq!(turn!(read).is_ready(), first != 3);
    }
}

#[test]
fn long_transfers_are_cut_and_wait_for_places() {
    let (fake, host, disk) = disk();
    let mut write = pin!(disk.write(10, bytes(41 * 512)));
    let mut seen = Vec::new();
    let mut outcome = Poll::Pending;
    for _ in 0..20 {
        outcome = turn!(write);
        if outcome.is_ready() {
            break;
        }
        for (slot, work) in fake.all() {
            seen.push((work.first, work.sectors));
            fake.answer(slot, Verdict::Done);
        }
        host.complete();
    }
    let expected: Vec<_> = (0..11).map(|at| (10 + 4 * at, if at == 10 { 1 } else { 4 })).collect();
    assert_eq!(seen, expected);
    assert_eq!(outcome, Poll::Ready(Ok(())));
}

#[test]
fn what_failed_is_tried_again_at_once_then_at_ticks_then_reported() {
    let (fake, host, disk) = disk();
    let mut read = pin!(disk.read(5, 1));
    assert!(turn!(read).is_pending());
    for attempt in 0..4 {
        let (slot, work) = fake.next();
        drop(work);
        fake.answer(slot, Verdict::Unsure);
        host.complete();
        assert!(turn!(read).is_pending(), "attempt {attempt}");
        if attempt > 0 {
            assert!(fake.all().is_empty(), "not at once again");
            tick(&host);
        }
    }
    let (slot, _) = fake.next();
    fake.answer(slot, Verdict::Unsure);
    host.complete();
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Read { first: 5, count: 1 })));
    assert_eq!(fake.0.borrow().recoveries, 0);
}

#[test]
fn a_last_word_is_not_argued_with() {
    let (fake, host, disk) = disk();
    let mut write = pin!(disk.write(5, bytes(512)));
    assert!(turn!(write).is_pending());
    fake.answer(fake.next().0, Verdict::Failed);
    host.complete();
    assert!(fake.all().is_empty());
    assert_eq!(turn!(write), Poll::Ready(Err(DeviceError::Write { first: 5, count: 1 })));
}

#[test]
fn a_failed_flush_is_never_repeated_but_one_that_was_not_begun_is() {
    let (fake, host, disk) = disk();
    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    fake.answer(fake.next().0, Verdict::NotStarted);
    host.complete();
    let (slot, work) = fake.next();
    assert_eq!(work.kind, Kind::Flush);
    fake.answer(slot, Verdict::Unsure);
    host.complete();
    assert!(fake.all().is_empty());
    assert_eq!(turn!(flush), Poll::Ready(Err(DeviceError::Flush)));
    assert_eq!(disk.failed_flushes(), 1);
}

#[test]
fn silence_is_answered_by_a_reset_and_the_same_request() {
    let (fake, host, disk) = disk();
    let mut read = pin!(disk.read(9, 1));
    assert!(turn!(read).is_pending());
    ticks(&host, PATIENCE_TICKS);
    assert_eq!(fake.0.borrow().recoveries, 0);
    tick(&host);
    assert_eq!(fake.0.borrow().recoveries, 1);
    assert_eq!(disk.failed_flushes(), 1, "the cache may be lost");
    let (slot, work) = fake.next();
    assert_eq!(work.first, 9);
    drop(work);
    fake.answer(slot, Verdict::Done);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn a_disk_that_stays_silent_is_gone_for_all_and_back_when_it_answers() {
    let (fake, host, disk) = disk();
    // More than there are places.
    let mut reads: Vec<_> = (0..20).map(|first| Box::pin(disk.read(first, 1))).collect();
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    ticks(&host, 2 * (PATIENCE_TICKS + 1));
    for _ in 0..20 {
        reads.retain_mut(|read| match turn!(read) {
            Poll::Ready(outcome) => {
                assert_eq!(outcome, Err(DeviceError::Gone));
                false
            }
            Poll::Pending => true,
        });
    }
    assert!(reads.is_empty());
    assert_eq!(turn!(pin!(disk.flush())), GONE);
    fake.all();
    ticks(&host, PROBE_TICKS);
    let (slot, probe) = fake.next();
    assert_eq!((probe.kind, probe.first, probe.sectors), (Kind::Read, 0, 1));
    assert_eq!(turn!(pin!(disk.write(0, bytes(512)))), GONE);
    drop(probe);
    fake.answer(slot, Verdict::Done);
    host.complete();
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    fake.answer(fake.next().0, Verdict::Done);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn a_flush_has_more_time_and_fails_when_the_controller_is_reset() {
    let (fake, host, disk) = disk();
    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    ticks(&host, FLUSH_PATIENCE_TICKS);
    assert_eq!(fake.0.borrow().recoveries, 0);
    tick(&host);
    assert_eq!(turn!(flush), Poll::Ready(Err(DeviceError::Flush)));
    assert_eq!(disk.failed_flushes(), 1, "counted once");
    assert!(fake.all().is_empty());
}

#[test]
fn what_waits_behind_a_long_flush_is_not_overdue_but_not_forgotten_either() {
    let (fake, host, disk) = disk();
    let mut flush = Box::pin(disk.flush());
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(flush).is_pending());
    assert!(turn!(read).is_pending());
    ticks(&host, FLUSH_PATIENCE_TICKS - 5);
    let slot = fake.next().0;
    fake.answer(slot, Verdict::Done);
    host.complete();
    assert_eq!(turn!(flush), Poll::Ready(Ok(())));
    ticks(&host, PATIENCE_TICKS - 5);
    assert_eq!(fake.0.borrow().recoveries, 0, "its own time begins when the flush has ended");
    for _ in 0..FLUSH_PATIENCE_TICKS + 10 {
        if fake.0.borrow().recoveries > 0 {
            break;
        }
        let mut flush = Box::pin(disk.flush());
        assert!(turn!(flush).is_pending());
        ticks(&host, 2);
        fake.answer(slot, Verdict::Done);
        host.complete();
    }
    assert_eq!(fake.0.borrow().recoveries, 1, "other flushes do not hide it");
}

#[test]
fn nonsense_makes_a_reset_and_endless_nonsense_ends_the_disk() {
    let (fake, host, disk) = disk();
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    for _ in 0..2 {
        fake.0.borrow_mut().answers.push_back(Err(Problem::BogusAnswer(77)));
        tick(&host);
    }
    assert_eq!(fake.0.borrow().recoveries, 2);
    assert_eq!(turn!(read), Poll::Ready(Err(DeviceError::Gone)));
}

#[test]
fn a_controller_that_reports_its_own_failure_is_reset_before_anything_times_out() {
    let (fake, host, disk) = disk();
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    fake.0.borrow_mut().fatal = true;
    tick(&host);
    assert_eq!(fake.0.borrow().recoveries, 1);
    fake.answer(fake.next().0, Verdict::Done);
    host.complete();
    assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
}

#[test]
fn only_the_blamed_request_pays_for_an_error_that_stops_the_others() {
    let (fake, host, disk) = disk();
    let (mut bad, mut good) = (pin!(disk.read(1, 1)), pin!(disk.read(2, 1)));
    assert!(turn!(bad).is_pending());
    assert!(turn!(good).is_pending());
    let guilty = fake.all()[0].0;
    fake.0.borrow_mut().recovery = Some(Recovery::Good { blamed: Some(guilty), is_cache_kept: true });
    for _ in 0..5 {
        fake.0.borrow_mut().answers.push_back(Err(Problem::Command(0x4041)));
        tick(&host);
        tick(&host);
    }
    assert_eq!(turn!(bad), Poll::Ready(Err(DeviceError::Read { first: 1, count: 1 })));
    let again = fake.all();
    assert_eq!(again.len(), 1);
    fake.answer(again[0].0, Verdict::Done);
    drop(again);
    host.complete();
    assert!(matches!(turn!(good), Poll::Ready(Ok(_))));
    assert_eq!(disk.failed_flushes(), 0);
}

#[test]
fn a_controller_that_cannot_be_stopped_keeps_the_memory_of_its_transfers() {
    let (fake, host, disk) = disk();
    let source = Bytes::from(alloc::vec![1; 512]);
    let mut write = pin!(disk.write(1, source.clone()));
    assert!(turn!(write).is_pending());
    fake.all();
    fake.0.borrow_mut().recovery = Some(Recovery::Lost(Problem::Slow("stop")));
    ticks(&host, PATIENCE_TICKS + 1);
    assert_eq!(turn!(write), GONE);
    assert!(!source.is_unique(), "the device may still read it");
    // It comes back: what it forgot is nobody's any more, and is not written late.
    fake.0.borrow_mut().recovery = None;
    ticks(&host, PROBE_TICKS + 1);
    let commands = fake.all();
    assert!(commands.iter().all(|(_, work)| work.kind == Kind::Read), "only the probe");
    assert!(source.is_unique());
}

#[test]
fn a_controller_that_is_gone_gives_the_memory_back() {
    let (fake, host, disk) = disk();
    let source = Bytes::from(alloc::vec![1; 512]);
    let mut write = pin!(disk.write(1, source.clone()));
    assert!(turn!(write).is_pending());
    fake.0.borrow_mut().recovery = Some(Recovery::Stopped(Problem::Unplugged));
    ticks(&host, PATIENCE_TICKS + 1);
    assert_eq!(turn!(write), GONE);
    assert!(source.is_unique());
    for _ in 0..3 {
        ticks(&host, 100);
        assert_eq!(turn!(pin!(disk.flush())), GONE);
    }
    assert!(fake.0.borrow().recoveries < 6, "looked at seldom");
}

#[test]
fn who_stops_waiting_leaves_the_slot_until_the_answer_and_nothing_is_written_late() {
    let (fake, host, disk) = disk();
    for round in 0..100 {
        let mut write = Box::pin(disk.write(1, bytes(512)));
        assert!(turn!(write).is_pending(), "round {round}");
        drop(write);
        fake.answer(fake.next().0, Verdict::Unsure);
        host.complete();
        assert!(fake.all().is_empty());
    }
}

#[test]
fn one_silent_disk_leaves_places_to_its_neighbour() {
    let (fake, host, silent) = disk();
    let good = host.add("good".into(), geometry());
    let mut stuck: Vec<_> = (0..20).map(|first| Box::pin(silent.read(first, 1))).collect();
    stuck.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    assert_eq!(fake.all().len(), 4);
    for _ in 0..3 {
        let mut read = pin!(good.read(1, 1));
        assert!(turn!(read).is_pending());
        let (slot, work) = fake.next();
        assert_eq!(work.unit, 1);
        drop(work);
        fake.answer(slot, Verdict::Done);
        host.complete();
        assert!(matches!(turn!(read), Poll::Ready(Ok(_))));
    }
    ticks(&host, 2 * (PATIENCE_TICKS + 1));
    drop(stuck);
    assert_eq!(turn!(pin!(silent.flush())), GONE);
    assert!(turn!(pin!(good.flush())).is_pending());
}

#[test]
fn reads_with_slots_of_their_own_pass_a_long_line_of_writes() {
    let fake = Fake::default();
    fake.0.borrow_mut().read_slots = 3;
    let host = Host::new(fake.clone());
    let disk = host.add("disk".into(), geometry());
    assert_eq!(disk.depth(), 8);
    let mut writes: Vec<_> = (0..9).map(|first| Box::pin(disk.write(first, bytes(512)))).collect();
    writes.iter_mut().for_each(|write| assert!(turn!(write).is_pending()));
    let mut flush = pin!(disk.flush());
    assert!(turn!(flush).is_pending());
    let mut commands = fake.all();
    assert!(
        commands.len() == 5 && commands.iter().all(|(slot, work)| *slot >= 3 && work.kind == Kind::Write)
    );
    let mut reads: Vec<_> = (0..4).map(|first| Box::pin(disk.read(first, 1))).collect();
    reads.iter_mut().for_each(|read| assert!(turn!(read).is_pending()));
    let of_reads = fake.all();
    assert!(of_reads.len() == 3 && of_reads.iter().all(|(slot, work)| *slot < 3 && work.kind == Kind::Read));
    commands.extend(of_reads);
    // Everything ends, each slot in its own lane again, the flush behind the writes that came before it.
    let (mut kinds, mut is_flushed) = (Vec::new(), false);
    for _ in 0..6 {
        for (slot, work) in core::mem::take(&mut commands) {
            assert_eq!(slot < 3, work.kind == Kind::Read);
            kinds.push(work.kind);
            drop(work);
            fake.answer(slot, Verdict::Done);
        }
        host.complete();
        writes.retain_mut(|write| turn!(write).is_pending());
        reads.retain_mut(|read| turn!(read).is_pending());
        is_flushed = is_flushed || turn!(flush).is_ready();
        commands = fake.all();
    }
    assert!(reads.is_empty() && writes.is_empty() && is_flushed);
    let count = |kind| kinds.iter().filter(|seen| **seen == kind).count();
    assert_eq!((count(Kind::Write), count(Kind::Read), count(Kind::Flush)), (9, 4, 1));
    assert_eq!(kinds.iter().rfind(|kind| **kind != Kind::Read), Some(&Kind::Flush));
}

#[test]
fn a_disk_that_does_not_tell_how_it_is_is_none_the_worse() {
    let (fake, host, disk) = disk();
    for verdict in [Verdict::Failed, Verdict::Unsure, Verdict::NotStarted, Verdict::Done] {
        let mut health = pin!(disk.health());
        assert!(turn!(health).is_pending() && disk.is_well());
        let (slot, work) = fake.next();
        assert_eq!((work.kind, work.place().1), (Kind::Health, HEALTH_LEN));
        drop(work);
        fake.answer(slot, verdict);
        host.complete();
        let told = matches!(turn!(health), Poll::Ready(Some(bytes)) if bytes.len() == HEALTH_LEN);
        assert_eq!(told, verdict == Verdict::Done);
        assert!(fake.all().is_empty() && disk.is_well());
    }
    // Silence is the controller's trouble; the question is not asked again, and the disk stays.
    let mut health = pin!(disk.health());
    assert!(turn!(health).is_pending());
    ticks(&host, PATIENCE_TICKS + 1);
    assert_eq!((turn!(health), fake.0.borrow().recoveries), (Poll::Ready(None), 1));
    assert!(fake.all().is_empty() && disk.is_well());
    let mut read = pin!(disk.read(1, 1));
    assert!(turn!(read).is_pending());
    fake.answer(fake.next().0, Verdict::Unsure);
    host.complete();
    assert!(!disk.is_well(), "it is being tried again");
}

#[test]
fn what_is_outside_or_not_whole_or_read_only_never_reaches_the_controller() {
    let (fake, host, disk) = disk();
    let outside = |first, count| Poll::Ready(Err(DeviceError::OutOfBounds { first, count }));
    assert_eq!(turn!(pin!(disk.read(999, 2))), outside(999, 2));
    assert_eq!(turn!(pin!(disk.read(u64::MAX, 2))), outside(u64::MAX, 2));
    assert!(matches!(
        turn!(pin!(disk.write(1, bytes(513)))),
        Poll::Ready(Err(DeviceError::OutOfBounds { .. }))
    ));
    let locked = host.add("locked".into(), Geometry { read_only: true, ..geometry() });
    let refused = Poll::Ready(Err(DeviceError::Write { first: 1, count: 1 }));
    assert_eq!(turn!(pin!(locked.write(1, bytes(512)))), refused);
    assert_eq!(turn!(pin!(disk.read(1000, 0))), Poll::Ready(Ok(Bytes::new())));
    assert!(fake.all().is_empty());
}

#[test]
fn bytes_that_start_anywhere_are_moved_to_where_a_device_reads() {
    let (fake, _host, disk) = disk();
    let data = Bytes::from((0..1100u32).map(|byte| byte as u8).collect::<Vec<u8>>());
    for start in 0..8 {
        let _ = turn!(pin!(disk.write(0, data.slice(start..start + 512))));
        let (_, work) = fake.next();
        let (address, len) = work.place();
        assert!(address.is_multiple_of(4) && len == 512);
        let Memory::Source(source) = work.memory else { panic!("no source") };
        assert_eq!(source, data.slice(start..start + 512));
    }
}

#[test]
fn senseless_geometry_is_refused() {
    let good = geometry();
    for bad in [
        Geometry { sector_size: 0, ..good },
        Geometry { sector_size: 1000, ..good },
        Geometry { sector_size: 1 << 17, ..good },
        Geometry { sector_count: 0, ..good },
        Geometry { sector_count: u64::MAX / 2, ..good },
        Geometry { request_max: 511, ..good },
    ] {
        assert!(bad.checked().is_err(), "{bad:?}");
    }
    assert_eq!(Geometry { request_max: u32::MAX, ..good }.checked().unwrap().request_max, REQUEST_MAX);
}
