//! Fuzzes unpacking: see `granary_fuzz::whack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::whack::whack_decode(data));
