//! Fields out of the store: what can be read is written as the same, and has no line in its lines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::stored_fields(data));
