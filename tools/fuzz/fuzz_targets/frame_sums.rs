//! Fuzzes the sums of frames: see `granary_fuzz::network`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| granary_fuzz::network::frame_sums(data));
