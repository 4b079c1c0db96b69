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
pub(super) struct State {
    commands: Vec<(u16, Work)>,
    answers: VecDeque<Result<(u16, Verdict), Problem>>,
    recovery: Option<Recovery>,
    pub(super) recoveries: usize,
    fatal: bool,
    /// Slots for reads alone.
    pub(super) read_slots: usize,
}

#[derive(Clone, Default)]
pub(super) struct Fake(pub(super) Rc<RefCell<State>>);

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
    pub(super) fn all(&self) -> Vec<(u16, Work)> {
        core::mem::take(&mut self.0.borrow_mut().commands)
    }

    pub(super) fn next(&self) -> (u16, Work) {
        self.0.borrow_mut().commands.remove(0)
    }

    pub(super) fn answer(&self, slot: u16, verdict: Verdict) {
        self.0.borrow_mut().answers.push_back(Ok((slot, verdict)));
    }
}

pub(super) type Disk = Drive<Fake>;

pub(super) fn geometry() -> Geometry {
    let geometry = Geometry {
        sector_size: SECTOR,
        sector_count: 1000,
        read_only: false,
        flushes: true,
        request_max: 4 * SECTOR,
    };
    geometry.checked().unwrap()
}

pub(super) fn disk() -> (Fake, Rc<Host<Fake>>, Disk) {
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
pub(super) use turn;

/// A moment, and the recovery that may follow from it.
pub(super) fn tick(host: &Host<Fake>) {
    host.tick();
    assert!(turn!(pin!(host.recover(&async |_| ()))).is_ready());
}

pub(super) fn ticks(host: &Host<Fake>, count: u32) {
    (0..count).for_each(|_| tick(host));
}

pub(super) const GONE: Poll<Result<(), DeviceError>> = Poll::Ready(Err(DeviceError::Gone));

pub(super) fn bytes(len: usize) -> Bytes {
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
