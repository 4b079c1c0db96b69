//! Fuzzes the file of scrub records: see `granary_fuzz::texts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::texts::scrub_records(data));
