//! Fuzzes a bucket of an index section: see `granary_fuzz::formats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::formats::bucket(data));
