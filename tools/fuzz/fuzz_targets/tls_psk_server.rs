//! Fuzzes a server of TLS-PSK: see `granary_fuzz::tls_psk`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tls_psk::tls_psk_server(data));
