//! Fuzzes the first line of a connection: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::wire::greeting(data));
