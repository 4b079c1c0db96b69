//! Trials by seed: see [`storage::trial`] for what must hold. `granary simulate` runs more of them.

#![allow(clippy::unwrap_used, reason = "a broken promise is the message")]

use storage::trial;

#[test]
fn every_promise_holds_in_every_trial() {
    for seed in 1..150 {
        let tally = trial::run(seed).unwrap();
        assert!(tally.images > 0, "seed {seed}: {tally:?}");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in 1..12 {
        let digests = [trial::run(seed).unwrap().digest, trial::run(seed).unwrap().digest];
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
}
