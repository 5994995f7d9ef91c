//! Content-Range: what is read lies within the representation, and is written as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::ranges::content_range(data));
