//! Many trials of the storage engine (see [`storage::trial`]) on all processors, and their sum.
//!
//! Knows how to share work and add results. Must not know command lines, nor what a trial does.

use crate::progress::Progress;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use storage::trial::{self, Broken, Tally};

/// One trial to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its seed.
    pub seed: u64,
    /// The request that fails, for a long trial of that kind.
    pub failing: Option<u64>,
}

impl Trial {
    fn run(self) -> Result<Tally, Broken> {
        match self.failing {
            Some(nth) => trial::run_with_failure(self.seed, nth),
            None => trial::run(self.seed),
        }
    }

    /// What to type to see it again.
    pub fn replay(self) -> String {
        let failing = self.failing.map(|nth| format!(" --failing {nth}")).unwrap_or_default();
        format!("granary simulate --seed {}{failing}", self.seed)
    }
}

/// When to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Once so many images were looked at.
    pub images: Option<u64>,
    /// After this time.
    pub time: Option<Duration>,
    /// At the first broken promise.
    pub first_failure: bool,
}

/// Trials of one kind of trouble, added up.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sum {
    /// Trials.
    pub runs: u64,
    /// Crash and damage images looked at.
    pub images: u64,
    /// Power cuts and faults that hit something.
    pub faults: u64,
    /// Reads of synced blocks that a dishonest or rotten disk had lost.
    pub missing: u64,
    /// Those of them that were denied without any report of damage.
    pub denied: u64,
    /// Images with damaged headers that were refused.
    pub refused: u64,
}

/// A trial that failed.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The promise that was broken.
    pub finding: String,
    /// What to type to see it again.
    pub replay: String,
}

/// Everything, added up.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Trials that kept every promise.
    pub runs: u64,
    /// Crash and damage images looked at.
    pub images: u64,
    /// Requests to simulated disks.
    pub requests: u64,
    /// By kind of trouble.
    pub by_trouble: BTreeMap<&'static str, Sum>,
    /// Trials that failed.
    pub failures: Vec<Failure>,
    /// Time that it took.
    pub seconds: f64,
    /// Sum of all that happened in the trials that kept every promise, in any order.
    pub digest: u64,
}

impl Summary {
    fn add(&mut self, tally: &Tally) {
        self.runs += 1;
        self.images += tally.images;
        self.requests += tally.operations;
        self.digest = self.digest.wrapping_add(tally.digest);
        let sum = self.by_trouble.entry(tally.trouble.name()).or_default();
        sum.runs += 1;
        sum.images += tally.images;
        sum.faults += tally.faults;
        sum.missing += tally.missing;
        sum.denied += tally.denied;
        sum.refused += tally.refused;
    }
}

/// Runs trials, in their order, on `jobs` threads.
pub fn run(
    trials: impl Iterator<Item = Trial> + Send,
    limits: Limits,
    jobs: usize,
    progress: &Progress,
) -> Summary {
    let begun = Instant::now();
    let trials = std::sync::Mutex::new(trials);
    let stop = AtomicBool::new(false);
    let images = AtomicU64::new(0);
    let next = || {
        let late = limits.time.is_some_and(|time| begun.elapsed() >= time);
        let enough = limits.images.is_some_and(|wanted| images.load(Ordering::Relaxed) >= wanted);
        if late || enough || stop.load(Ordering::Relaxed) {
            return None;
        }
        trials.lock().ok()?.next()
    };
    let mut summary = Summary::default();
    std::thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (sender, next, images) = (sender.clone(), &next, &images);
            scope.spawn(move || {
                while let Some(trial) = next() {
                    let result = watched(trial);
                    if let Ok(tally) = &result {
                        images.fetch_add(tally.images, Ordering::Relaxed);
                    }
                    if sender.send((trial, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (trial, result) in results {
            match result {
                Ok(tally) => {
                    progress.advance(tally.images);
                    progress.show(format!("{} trials", summary.runs + 1));
                    summary.add(&tally);
                }
                Err(broken) => {
                    let replay = trial.replay();
                    progress.note(format!("granary: {broken}\ngranary: replay it with: {replay}"));
                    summary.failures.push(Failure { seed: trial.seed, finding: broken.finding, replay });
                    stop.fetch_or(limits.first_failure, Ordering::Relaxed);
                }
            }
        }
    });
    summary.seconds = begun.elapsed().as_secs_f64();
    summary
}

thread_local! {
    /// The trial that this thread runs, for the message of a panic.
    static RUNNING: std::cell::Cell<Option<Trial>> = const { std::cell::Cell::new(None) };
}

fn watched(trial: Trial) -> Result<Tally, Broken> {
    RUNNING.set(Some(trial));
    let result = trial.run();
    RUNNING.set(None);
    result
}

/// Lets a panic of the storage engine name the trial that led to it. A panic ends the process.
pub fn name_trials_in_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if let Some(trial) = RUNNING.get() {
            eprintln!("granary: replay it with: {}", trial.replay());
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(count: u64) -> impl Iterator<Item = Trial> + Send {
        (0..count).map(|seed| Trial { seed, failing: None })
    }

    #[test]
    fn one_thread_and_several_give_the_same_sum() {
        let sums = [1, 3].map(|jobs| run(first(12), Limits::default(), jobs, &Progress::hidden()));
        assert_eq!(sums[0].runs, 12);
        assert!(sums[0].failures.is_empty(), "{:?}", sums[0].failures);
        assert_eq!((sums[0].digest, sums[0].images), (sums[1].digest, sums[1].images));
    }

    #[test]
    fn it_stops_when_enough_images_were_looked_at() {
        let limits = Limits { images: Some(30), ..Limits::default() };
        let sum = run(first(10_000), limits, 1, &Progress::hidden());
        assert!(sum.images >= 30 && sum.runs < 30, "{sum:?}");
    }
}
