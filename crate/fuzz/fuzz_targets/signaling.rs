//! Fuzz target: [`piecework_fuzz::signaling`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::signaling(data));
