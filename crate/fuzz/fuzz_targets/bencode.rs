//! Fuzz target: [`piecework_fuzz::bencode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::bencode(data));
