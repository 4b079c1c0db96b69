//! What the tests of several formats share.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::vec::Vec;

/// Gives `parse` random bytes, and `good` with bytes changed and cut; it must neither panic nor fail its assertions.
pub(super) fn never_panics(good: &[u8], parse: impl Fn(&[u8])) {
    let mut runner = TestRunner::new(Config::with_cases(300));
    let changes = prop::collection::vec((0..good.len(), any::<u8>()), 1..4);
    let random = prop::collection::vec(any::<u8>(), 0..256);
    runner
        .run(&(changes, 0..=good.len(), any::<bool>(), random), |(changes, len, cut, random)| {
            parse(&random);
            let mut bytes: Vec<u8> = good.to_vec();
            for (at, value) in changes {
                bytes[at] = value;
            }
            parse(if cut { &bytes[..len] } else { &bytes });
            Ok(())
        })
        .unwrap();
}
