//! Fuzzes requests to the status pages: see `granary_fuzz::wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::wire::http_request(data));
