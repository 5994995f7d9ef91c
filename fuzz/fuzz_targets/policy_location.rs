//! Location: whatever is named is of this origin, has no dot segments, and is named again by its URL.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::location(data));
