//! A whole client connection through the real proxy: the origin gets what the bytes mean, and nothing
//! else.
#![no_main]

#[path = "../../crates/proxy/tests/connection/harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    harness::connection(data);
});
