//! Fuzz target: [`piecework_fuzz::magnet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::magnet(data));
