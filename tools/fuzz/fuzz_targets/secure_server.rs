//! Fuzzes the server's end of 9front's authentication and what follows: see `granary_fuzz::secure`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::secure::secure_server(data));
