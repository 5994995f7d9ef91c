//! The content of a QUERY: contents that are taken for the same have the same tokens, and whatever
//! is normalised is so for good.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::keys::query(data));
