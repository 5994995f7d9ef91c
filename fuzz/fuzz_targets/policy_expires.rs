//! Expires: only a date later than the response makes it fresh.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::expires(data));
