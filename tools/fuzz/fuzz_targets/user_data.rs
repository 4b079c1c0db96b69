//! Fuzzes user data of a cloud: see `granary_fuzz::cloud`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::cloud::user_data(data));
