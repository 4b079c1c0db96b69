//! Threads that do arithmetic.
//!
//! Knows threads and a queue with an end. Must not know what the work is. The threads end with the process; work that is
//! left then is nobody's any more.

use async_task::Runnable;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use storage::arithmetic::{Arithmetic, Pool};

/// Pieces of work that may wait for each thread. Who has more does it himself.
const WAITING_EACH: usize = 64;

/// A pool of threads.
#[derive(Debug)]
pub struct Threads {
    shared: Arc<Shared>,
    each: Vec<Arc<Figures>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<VecDeque<Runnable>>,
    came: Condvar,
}

/// What a thread has done.
#[derive(Debug, Default)]
struct Figures {
    busy_micros: AtomicU64,
    jobs: AtomicU64,
}

impl Threads {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// If the host has no room for another one.
    pub fn start(count: usize) -> std::io::Result<Rc<Threads>> {
        let shared = Arc::<Shared>::default();
        let mut each = Vec::new();
        for number in 1..=count {
            let (shared, figures) = (Arc::clone(&shared), Arc::<Figures>::default());
            each.push(Arc::clone(&figures));
            std::thread::Builder::new()
                .name(format!("arithmetic {number}"))
                .spawn(move || work(&shared, &figures))?;
        }
        Ok(Rc::new(Threads { shared, each }))
    }

    /// As many threads as the host has processors beside the one that serves.
    pub fn count_for_host() -> usize {
        std::thread::available_parallelism().map_or(0, |count| count.get() - 1)
    }

    /// What each thread has done: microseconds, pieces of work.
    pub fn figures(&self) -> Vec<(u64, u64)> {
        let load = |figures: &Arc<Figures>| {
            (figures.busy_micros.load(Ordering::Relaxed), figures.jobs.load(Ordering::Relaxed))
        };
        self.each.iter().map(load).collect()
    }

    /// The threads, for a store.
    pub fn arithmetic(self: &Rc<Threads>) -> Arithmetic {
        if self.each.is_empty() { Arithmetic::here() } else { Arithmetic::elsewhere(self.clone()) }
    }
}

impl Pool for Threads {
    fn offer(&self, work: Runnable) -> Result<(), Runnable> {
        // A queue is whole whatever happened to whoever held it.
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= WAITING_EACH * self.each.len() {
            return Err(work);
        }
        queue.push_back(work);
        drop(queue);
        self.shared.came.notify_one();
        Ok(())
    }

    fn width(&self) -> usize {
        self.each.len()
    }
}

fn work(shared: &Shared, figures: &Figures) {
    loop {
        let work = {
            let queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let empty = |queue: &mut VecDeque<Runnable>| queue.is_empty();
            let mut queue = shared.came.wait_while(queue, empty).unwrap_or_else(PoisonError::into_inner);
            queue.pop_front()
        };
        let Some(work) = work else { continue };
        let began = Instant::now();
        work.run();
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        figures.busy_micros.fetch_add(micros, Ordering::Relaxed);
        figures.jobs.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use storage::score::Score;

    #[test]
    fn more_work_than_fits_is_all_done_and_results_reach_whoever_asked() {
        crate::host::run(async {
            let threads = Threads::start(3)?;
            let arithmetic = threads.arithmetic();
            let scores =
                (0..5000u32).map(|number| arithmetic.run(move || (number, Score::of(&number.to_be_bytes()))));
            for (number, done) in join_all(scores).await.into_iter().enumerate() {
                assert_eq!(done, (number as u32, Score::of(&(number as u32).to_be_bytes())));
            }
            let jobs: u64 = threads.figures().iter().map(|(_, jobs)| jobs).sum();
            assert!(jobs > 0 && jobs <= 5000, "{jobs}");
            Ok(())
        })
        .unwrap();
    }
}
