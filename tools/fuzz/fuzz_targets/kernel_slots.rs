//! Fuzzes the record of a disk's kernels: see `granary_fuzz::machine`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::machine::kernel_slots(data));
