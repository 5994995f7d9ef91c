//! Cache-Control of responses: a further line never permits more, and letters have no case.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::directives(data));
