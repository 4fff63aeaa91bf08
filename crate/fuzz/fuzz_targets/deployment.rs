//! Fuzz target: [`piecework_fuzz::deployment`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::deployment(data));
