//! Fuzzes tickets and authenticators: see `granary_fuzz::secure`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::secure::tickets(data));
