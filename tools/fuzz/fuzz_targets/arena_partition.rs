//! Fuzzes the header of an arena partition, and its map: see `granary_fuzz::formats`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::formats::arena_partition(data));
