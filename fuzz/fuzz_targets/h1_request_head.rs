//! A request head: reads do not matter, and writing and reading again gives the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1::fuzzing::request_head(data));
