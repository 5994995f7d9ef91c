//! Range: what is asked for and there is selected, once, and hardly anything else.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::ranges::range(data));
