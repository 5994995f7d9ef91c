//! The options about what a client may do by HTTP/2.

use clap::Args;
use proxy::Http2Limits;

use super::check::Texts;
use super::fault::Fault;
use crate::units::ByteSize;

/// Beyond that a connection is no bound for a client any more.
const MOST_STREAMS: u64 = 10_000;
/// Below that hardly any request of a browser has room.
const LEAST_HEADER_LIST: ByteSize = ByteSize(4 << 10);
/// Each stream may hold so much.
const MOST_HEADER_LIST: ByteSize = ByteSize(256 << 10);
const MOST_RESETS: u64 = 100_000;

/// As they are written.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "they are named as the options are")]
pub(crate) struct RawHttp2 {
    /// Requests at once on a client's connection by HTTP/2 [default: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) http2_streams: Option<String>,
    /// Size of a request's header list by HTTP/2, with 32 bytes more for each field [default: 32KiB]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) http2_header_list: Option<String>,
    /// Streams of a connection by HTTP/2 that either side may reset within 30 seconds; more ends the
    /// connection [default: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) http2_resets: Option<String>,
}

/// Checks them; the rest as usual.
pub(super) fn check(raw: RawHttp2, texts: &Texts<'_>) -> Result<Http2Limits, Fault> {
    let usual = Http2Limits::default();
    let streams = texts.of("--http2-streams", raw.http2_streams);
    let streams = streams.map(|given| given.integer(1, MOST_STREAMS)).transpose()?;
    let list = texts.of("--http2-header-list", raw.http2_header_list);
    let list = list.map(|given| given.size_within(LEAST_HEADER_LIST, MOST_HEADER_LIST));
    let resets = texts.of("--http2-resets", raw.http2_resets);
    let resets = resets.map(|given| given.integer(1, MOST_RESETS)).transpose()?;
    Ok(Http2Limits {
        streams: streams.map_or(usual.streams, |streams| streams as u32),
        header_list: list.transpose()?.map_or(usual.header_list, |list| list.0 as u32),
        resets: resets.map_or(usual.resets, |resets| resets as usize),
        ..usual
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, read};
    use super::*;

    fn with(args: &[&str]) -> Result<Http2Limits, String> {
        let all = [&["--port", "1", "--origin", "http://a"], args].concat();
        let all: Vec<_> = all.iter().map(OsString::from).collect();
        match read(&all, &|_| None) {
            Ok(Command::Serve(serve)) => Ok(serve.http2),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn limits_can_be_others() {
        assert_eq!(with(&[]), Ok(Http2Limits::default()));
        let args = ["--http2-streams", "7", "--http2-header-list", "64k", "--http2-resets", "9"];
        let expected =
            Http2Limits { streams: 7, header_list: 64 << 10, resets: 9, ..Http2Limits::default() };
        assert_eq!(with(&args), Ok(expected));
    }

    #[test]
    fn limits_that_are_none_are_refused_in_one_line() {
        for (args, line) in [
            (
                ["--http2-streams", "0"],
                "--http2-streams: \"0\": it is out of range; give 1 to 10000",
            ),
            (
                ["--http2-streams", "-1"],
                "--http2-streams: \"-1\": it is not a whole number; give 1 to 10000",
            ),
            (
                ["--http2-header-list", "4095"],
                "--http2-header-list: \"4095\": it is too small; give 4KiB to 256KiB",
            ),
            (
                ["--http2-header-list", "1MiB"],
                "--http2-header-list: \"1MiB\": it is too large; give 4KiB to 256KiB",
            ),
            (
                ["--http2-header-list", "much"],
                "--http2-header-list: \"much\": \"much\" is not a number; write it like \
                 --http2-header-list 32KiB",
            ),
            (
                ["--http2-resets", "100001"],
                "--http2-resets: \"100001\": it is out of range; give 1 to 100000",
            ),
        ] {
            assert_eq!(with(&args), Err(line.to_owned()));
        }
    }
}
