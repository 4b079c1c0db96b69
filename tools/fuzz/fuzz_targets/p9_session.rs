//! Fuzzes messages of 9P2000: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::node::p9_session(data));
