//! A whole client connection by HTTP/2 through the real proxy: the origin gets what its frames mean,
//! and nothing else.
#![no_main]

#[path = "../../crates/proxy/tests/streams/harness.rs"]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    harness::streams(data);
});
