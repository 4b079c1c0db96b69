//! Fuzzes a store on a damaged disk: see `granary_fuzz::store`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::store::store(data));
