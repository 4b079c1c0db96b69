//! Work done here, by others, and by nobody.

use super::*;
use alloc::collections::VecDeque;
use core::cell::RefCell;
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

/// Takes up to `room` pieces, and does none of them by itself.
struct Shelf {
    room: usize,
    work: RefCell<VecDeque<Runnable>>,
}

impl Pool for Shelf {
    fn offer(&self, work: Runnable) -> Result<(), Runnable> {
        if self.work.borrow().len() == self.room {
            return Err(work);
        }
        self.work.borrow_mut().push_back(work);
        Ok(())
    }

    fn width(&self) -> usize {
        self.room
    }
}

fn shelf(room: usize) -> (Rc<Shelf>, Arithmetic) {
    let shelf = Rc::new(Shelf { room, work: RefCell::default() });
    (shelf.clone(), Arithmetic::elsewhere(shelf))
}

fn poll<T>(future: core::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn alone_work_is_done_at_once() {
    assert_eq!(poll(pin!(Arithmetic::here().run(|| 7))), Poll::Ready(7));
}

#[test]
fn a_result_comes_when_the_others_have_it() {
    let (shelf, arithmetic) = shelf(1);
    let mut sum = pin!(arithmetic.run(|| 3 + 4));
    assert_eq!(poll(sum.as_mut()), Poll::Pending);
    let work = shelf.work.borrow_mut().pop_front().unwrap();
    std::thread::spawn(|| work.run()).join().unwrap();
    assert_eq!(poll(sum.as_mut()), Poll::Ready(7));
}

#[test]
fn what_finds_no_room_is_done_here() {
    let (shelf, arithmetic) = shelf(1);
    let mut first = pin!(arithmetic.run(|| 1));
    assert_eq!(poll(first.as_mut()), Poll::Pending);
    assert_eq!(poll(pin!(arithmetic.run(|| 2))), Poll::Ready(2));
    assert_eq!(shelf.work.borrow().len(), 1);
}

#[test]
fn results_reach_whoever_asked_in_any_order_of_work() {
    let (shelf, arithmetic) = shelf(3);
    let mut asked: Vec<_> =
        (0..3).map(|number| std::boxed::Box::pin(arithmetic.run(move || number))).collect();
    assert!(asked.iter_mut().all(|asked| poll(asked.as_mut()).is_pending()));
    while let Some(work) = { shelf.work.borrow_mut().pop_back() } {
        work.run();
    }
    for (number, asked) in asked.iter_mut().enumerate() {
        assert_eq!(poll(asked.as_mut()), Poll::Ready(number));
    }
}

#[test]
fn what_nobody_waits_for_any_more_is_given_up_with_what_it_owns() {
    let (shelf, arithmetic) = shelf(1);
    let (owned, done) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(false)));
    {
        let (owned, done) = (owned.clone(), done.clone());
        let mut work = pin!(arithmetic.run(move || {
            *owned.lock().unwrap() += 1;
            *done.lock().unwrap() = true;
        }));
        assert_eq!(poll(work.as_mut()), Poll::Pending);
    }
    shelf.work.borrow_mut().pop_front().unwrap().run();
    assert!(!*done.lock().unwrap());
    assert_eq!(Arc::strong_count(&owned), 1);
}

#[test]
fn little_work_stays_here() {
    let (shelf, arithmetic) = shelf(1);
    let least = Kind::Unpack.pays_from();
    assert_eq!(poll(pin!(arithmetic.run_on(Kind::Unpack, least - 1, || 5))), Poll::Ready(5));
    assert_eq!(poll(pin!(arithmetic.run_on(Kind::Unpack, least, || 5))), Poll::Pending);
    assert_eq!(shelf.work.borrow().len(), 1);
}
