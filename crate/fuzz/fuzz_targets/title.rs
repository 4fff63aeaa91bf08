//! Fuzz target: [`piecework_fuzz::title`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::title(data));
