//! Fuzzes messages of 9P2000: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::wire::p9_message(data));
