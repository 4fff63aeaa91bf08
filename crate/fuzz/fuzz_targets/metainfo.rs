//! Fuzz target: [`piecework_fuzz::metainfo`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::metainfo(data));
