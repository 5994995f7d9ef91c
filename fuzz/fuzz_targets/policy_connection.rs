//! Connection: it takes nothing away that protects.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::connection(data));
