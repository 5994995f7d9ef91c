//! The key in Cache-Status: a String, whatever its bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::key(data));
