//! Fuzz target: [`piecework_fuzz::web_seeds`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::web_seeds(data));
