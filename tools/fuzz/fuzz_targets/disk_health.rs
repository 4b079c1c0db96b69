//! Fuzzes what disks say of their health: see `granary_fuzz::machine`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::machine::disk_health(data));
