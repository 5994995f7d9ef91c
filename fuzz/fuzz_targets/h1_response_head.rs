//! A response head: as h1_request_head.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1::fuzzing::response_head(data));
