//! X-Accel-Expires: a zero forbids wherever it stands, a number is heeded to the second, and what is
//! no number is as if it were not there.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::marks::accel_expires(data));
