//! Fuzz target: [`piecework_fuzz::tracker`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::tracker(data));
