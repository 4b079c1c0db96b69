//! Fuzzes a server's answer: see `granary_fuzz::cloud`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::cloud::http_answer(data));
