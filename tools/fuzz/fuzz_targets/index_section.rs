//! Fuzzes the header of an index section: see `granary_fuzz::formats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::formats::index_section(data));
