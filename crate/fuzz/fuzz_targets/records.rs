//! Fuzz target: [`piecework_fuzz::records`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::records(data));
