//! Tags: within their bounds, none lost without a word, and none that the response has not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::tags(data));
