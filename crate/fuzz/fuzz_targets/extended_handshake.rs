//! Fuzz target: [`piecework_fuzz::extended_handshake`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::extended_handshake(data));
