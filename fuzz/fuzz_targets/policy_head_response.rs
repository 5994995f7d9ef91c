//! The answer to a HEAD: only the very length and the very tag confirm what is stored.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::head_response(data));
