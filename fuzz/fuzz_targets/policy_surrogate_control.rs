//! Surrogate-Control: what is said to us outranks what is said to all, and shortens what else is
//! said to us. Only what was heeded is kept from clients.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::surrogate_control(data));
