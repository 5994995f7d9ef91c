//! Entity tags: what the client lists on a line of its own is always found, weak or not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::etags(data));
