//! Fuzzes records of TLS-PSK on their way: see `granary_fuzz::tls_psk`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::tls_psk::tls_psk_records(data));
