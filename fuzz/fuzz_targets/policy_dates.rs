//! Dates: what is read is written and read again as the same, whatever the case of its letters.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::dates(data));
