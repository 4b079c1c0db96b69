//! Fuzzes a FAT file system: see `granary_fuzz::fat`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::fat::fat(data));
