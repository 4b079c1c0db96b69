//! Fuzzes entries of an archive's directory: see `granary_fuzz::archive`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::archive::archive_entry(data));
