//! No-Vary-Search: an equivalence, and the same one that the canonical forms give.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::keys::no_vary_search(data));
