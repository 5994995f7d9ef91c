//! If-Range: it holds only for the very validator that is stored, and only if that is strong.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::fuzzing::ranges::if_range(data));
