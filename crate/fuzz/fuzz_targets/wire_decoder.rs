//! Fuzz target: [`piecework_fuzz::wire_decoder`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::wire_decoder(data));
