//! Fuzzes the text that describes an index: see `granary_fuzz::formats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::formats::index_config(data));
