//! Who waits for whom: reads, writes, flushes and questions, of one disk and of its neighbour.

use super::table::{FLUSH_PATIENCE_TICKS, PATIENCE_TICKS};
use super::tests::{Fake, GONE, bytes, disk, geometry, ticks, turn};
use super::*;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::boxed::Box;
use std::vec::Vec;

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
