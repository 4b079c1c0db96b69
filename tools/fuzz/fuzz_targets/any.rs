//! Fuzzes the target that `GRANARY_FUZZ_TARGET` names: one program to build where all are run.

#![no_main]

use std::sync::LazyLock;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("GRANARY_FUZZ_TARGET").unwrap_or_default();
    let found = granary_fuzz::TARGETS.iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("GRANARY_FUZZ_TARGET={wanted}: there is no such target")).1
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
