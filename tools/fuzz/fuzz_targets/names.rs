//! Fuzzes `scorenames`: see `granary_fuzz::texts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::texts::names(data));
