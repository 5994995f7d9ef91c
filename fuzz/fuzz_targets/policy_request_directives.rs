//! Cache-Control of requests: a further line never makes a client content with less.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::request_directives(data));
