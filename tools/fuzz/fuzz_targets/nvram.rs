//! Fuzzes the record of `nvram`: see `granary_fuzz::peers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::peers::nvram(data));
