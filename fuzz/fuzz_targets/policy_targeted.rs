//! Targeted fields: one that is valid is all that counts, one that is not does not count at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::targeted(data));
