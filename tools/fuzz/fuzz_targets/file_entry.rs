//! Fuzzes a file entry of an archive: see `granary_fuzz::archive`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::archive::file_entry(data));
