//! Fuzz target: [`piecework_fuzz::client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::client(data));
