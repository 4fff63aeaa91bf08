//! Fuzz target: [`piecework_fuzz::network`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::network(data));
