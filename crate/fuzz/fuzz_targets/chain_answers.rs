//! Fuzz target: [`piecework_fuzz::chain_answers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| piecework_fuzz::chain_answers(data));
