//! Cache-Groups: written again they are the same, all or none, and only unsafe methods end them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::groups(data));
