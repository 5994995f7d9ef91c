//! Chunked content: every split point gives the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1::fuzzing::chunked(data));
