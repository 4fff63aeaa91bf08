//! Fuzz target: [`piecework_fuzz::extensions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::extensions(data));
