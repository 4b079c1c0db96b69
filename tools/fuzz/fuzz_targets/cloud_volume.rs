//! Fuzzes a volume with settings: see `granary_fuzz::cloud`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::cloud::cloud_volume(data));
