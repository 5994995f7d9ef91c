//! Vary, and the value of a field that it names: the request that stored a response selects it, and
//! the store gives back what it got.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::vary(data));
