//! Fuzzes a disk with tables of any kind: see `granary_fuzz::tables`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tables::disk(data));
