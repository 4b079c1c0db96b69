//! Fuzzes frames and messages: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::wire::frames(data));
