//! Terms out of the store: what can be read is written as the same, and can be judged at any time.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::stored_terms(data));
