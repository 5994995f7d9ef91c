//! A connection: any split of its bytes gives the same requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| http1::fuzzing::connection(data));
