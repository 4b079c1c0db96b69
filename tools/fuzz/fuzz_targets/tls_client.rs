//! Fuzzes a client of TLS 1.3: see `granary_fuzz::tls`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tls::tls_client(data));
