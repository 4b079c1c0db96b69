//! Fuzzes firmware's word on the machine: see `granary_fuzz::cloud`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::cloud::smbios(data));
