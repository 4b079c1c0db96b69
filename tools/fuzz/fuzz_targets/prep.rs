//! Fuzzes a Plan 9 table: see `granary_fuzz::tables`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tables::prep(data));
