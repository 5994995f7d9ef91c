//! Age: what is no number counts as nothing, and what is counts in full.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::age_field(data));
