//! The rules as tables, and what holds for any bytes.

mod bodies;
mod encoding;
mod generate;
mod hyper;
mod properties;
mod requests;
mod responses;
