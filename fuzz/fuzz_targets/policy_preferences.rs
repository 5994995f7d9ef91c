//! Accept-Language and its like: neither order nor lines matter, and what is in the normal form is
//! left as it is.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::keys::preferences(data));
