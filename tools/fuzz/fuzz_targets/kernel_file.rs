//! Fuzzes a kernel's file: see `granary_fuzz::machine`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::machine::kernel_file(data));
