//! The life of a request and of what is stored, by a proxy in this process whose clock stands still
//! until it is moved.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

#[path = "../rig/mod.rs"]
mod rig;
mod withheld;
