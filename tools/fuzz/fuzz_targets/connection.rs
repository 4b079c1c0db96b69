//! Fuzzes a connection to a server: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::wire::connection(data));
