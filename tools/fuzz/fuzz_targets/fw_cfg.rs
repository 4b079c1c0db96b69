//! Fuzzes QEMU's fw_cfg device: see `granary_fuzz::cloud`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::cloud::fw_cfg(data));
