//! Fuzzes an arena's tail: see `granary_fuzz::formats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::formats::arena_tail(data));
