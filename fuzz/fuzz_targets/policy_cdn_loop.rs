//! CDN-Loop: whatever stands before, what a proxy adds is counted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::cdn_loop(data));
