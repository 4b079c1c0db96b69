//! Fuzzes checking and repairing a damaged store: see `granary_fuzz::repair`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::repair::repair(data));
