//! Fuzzes a stream of an archive: see `granary_fuzz::archive`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::archive::stream(data));
