//! Fuzzes a server of TLS 1.3: see `granary_fuzz::tls13`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tls13::tls13_server(data));
