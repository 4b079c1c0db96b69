//! `granary simulate`: the storage engine under simulated disks that fail in every way, by seed.

use crate::outcome::{CodedError, OutputArgs};
use crate::progress::Progress;
use crate::simulate::{Limits, Summary, Trial, name_trials_in_panics, run as run_trials};
use std::fmt;
use std::ops::Range;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Arguments of `granary simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  granary simulate --seed 4711\n  granary simulate --images 20000\n  \
    granary simulate --seed 1 --each 2000\n  granary simulate --hours 8 --jobs 1\n\n\
    A seed decides everything in a trial: disks, settings, clients, faults. One that fails does so each time.")]
pub struct Args {
    /// Run the trial of this seed.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "images", "hours"])]
    seed: Option<u64>,

    /// With --seed: run a long trial instead, whose N-th request to the disk fails.
    #[arg(long, value_name = "N", requires = "seed", conflicts_with = "each")]
    failing: Option<u64>,

    /// With --seed: run that long trial N times; the first request fails in the first, the second in the second, …
    #[arg(long, value_name = "N", requires = "seed")]
    each: Option<u64>,

    /// Run the trials of these seeds, the last one not included.
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with_all = ["images", "hours"])]
    seeds: Option<Range<u64>>,

    /// Run trials until so many crash images were looked at, from seed 1 on.
    #[arg(long, value_name = "N", conflicts_with = "hours")]
    images: Option<u64>,

    /// Run trials for so long, with seeds that were hardly used before; failures are printed, and it goes on.
    #[arg(long, value_name = "H")]
    hours: Option<f64>,

    /// Threads; all processors unless given.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Runs `granary simulate`.
///
/// # Errors
/// If the arguments make no sense. A broken promise is told in the result, and ends with code 1.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.failing.is_none() && (args.seed.is_none() || args.each.is_some()) {
        // What stores say of faults that were made on purpose is worth reading in one trial, not in thousands.
        log::set_max_level(log::LevelFilter::Off);
    }
    let limits = Limits { images: args.images, time: args.time()?, first_failure: args.hours.is_none() };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = if args.output.json { Progress::hidden() } else { Progress::items("images", args.images) };
    name_trials_in_panics();
    let summary = run_trials(args.trials().into_iter(), limits, args.jobs.unwrap_or(processors), &progress);
    progress.finish();
    args.output.print(&summary, Text(&summary))?;
    Ok(if summary.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Trials by their numbers.
#[derive(Debug)]
enum Trials {
    Seeds(Range<u64>),
    Failing { seed: u64, numbers: Range<u64> },
}

impl Trials {
    fn into_iter(self) -> Box<dyn Iterator<Item = Trial> + Send> {
        match self {
            Trials::Seeds(seeds) => Box::new(seeds.map(|seed| Trial { seed, failing: None })),
            Trials::Failing { seed, numbers } => {
                Box::new(numbers.map(move |number| Trial { seed, failing: Some(number) }))
            }
        }
    }
}

impl Args {
    fn time(&self) -> anyhow::Result<Option<Duration>> {
        let Some(hours) = self.hours else { return Ok(None) };
        let time = Duration::try_from_secs_f64(hours * 3600.0);
        Ok(Some(time.map_err(|_| CodedError::usage("--hours must be a number of hours, such as 1.5"))?))
    }

    fn trials(&self) -> Trials {
        match (self.seed, self.failing, self.each, &self.seeds) {
            (Some(seed), Some(number), ..) => Trials::Failing { seed, numbers: number..number + 1 },
            (Some(seed), None, Some(count), _) => Trials::Failing { seed, numbers: 1..count + 1 },
            (Some(seed), None, None, _) => Trials::Seeds(seed..seed + 1),
            (None, .., Some(seeds)) => Trials::Seeds(seeds.clone()),
            (None, .., None) if self.hours.is_some() => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Trials::Seeds(now.as_secs() << 24..u64::MAX)
            }
            (None, .., None) => Trials::Seeds(1..if self.images.is_some() { u64::MAX } else { 101 }),
        }
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parts = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parts {
        Some((from, to)) if from < to => Ok(from..to),
        _ => Err("two numbers, the smaller first, such as 1..1000".into()),
    }
}

struct Text<'a>(&'a Summary);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { runs, images, requests, seconds, failures, .. } = self.0;
        let failed = failures.len();
        write!(out, "simulation: {runs} trials passed, {failed} failed; {images} crash images, ")?;
        write!(
            out,
            "{requests} requests to disks in {seconds:.1} s ({:.0} images/s)",
            *images as f64 / seconds
        )?;
        for (trouble, sum) in &self.0.by_trouble {
            let plural = if sum.faults == 1 { "" } else { "s" };
            write!(
                out,
                "\n  {trouble}: {} trials, {} images, {} fault{plural}",
                sum.runs, sum.images, sum.faults
            )?;
            if sum.missing > 0 {
                write!(out, ", {} blocks physically gone", sum.missing)?;
            }
            if sum.refused > 0 {
                write!(out, ", {} damaged headers refused", sum.refused)?;
            }
        }
        for failure in failures {
            write!(out, "\nFAILED seed {}: {}\n  {}", failure.seed, failure.finding, failure.replay)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_seeds_are_read() {
        assert_eq!(range("1..1000"), Ok(1..1000));
        for bad in ["", "5", "5..5", "9..3", "..4", "a..b"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }
}
