//! Fuzzes peers' `.info` files: see `granary_fuzz::peers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::peers::peer_info(data));
