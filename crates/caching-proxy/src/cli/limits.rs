//! The options that bound what clients may do.

use std::time::Duration;

use clap::Args;

use super::check::{DAY, Given, SHORTEST, Texts};
use super::fault::Fault;
use crate::units::ByteSize;

/// Connections that make sense to ask for.
const MOST_CONNECTIONS: u64 = 10_000_000;
const LARGEST_CONTENT: ByteSize = ByteSize(1 << 50);
/// Content that may have to come in each `--client-body-timeout`.
const FASTEST: ByteSize = ByteSize(1 << 30);
/// Systems count whole seconds, and not more of them than this.
const SECOND: Duration = Duration::from_secs(1);
const LONGEST_KEEPALIVE: Duration = Duration::from_hours(9);

/// As they are written.
#[derive(Debug, Default, Args)]
pub(crate) struct RawLimits {
    /// Connections of clients at once, for each address that is listened on [default: what open files
    /// and memory allow]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_connections: Option<String>,
    /// Connections at once of one client, which is an IPv4 address or an IPv6 network of 64 bits
    /// [default: as many as it likes]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_connections_per_client: Option<String>,
    /// Content that a request may have; more is refused with 413 [default: any]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) max_request_content: Option<String>,
    /// Content that a response of the origin may have; more is a 502, or cut off [default: any]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) max_response_content: Option<String>,
    /// How long a client may take for the head of a request, once it has begun [default: 10s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) client_head_timeout: Option<String>,
    /// The time for the next --client-body-pace of a request's content [default: 30s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) client_body_timeout: Option<String>,
    /// Content that has to come in each --client-body-timeout [default: 1KiB if its length is announced,
    /// else any]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) client_body_pace: Option<String>,
    /// How long a client may take nothing of a response [default: 30s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) write_timeout: Option<String>,
    /// How long a connection is kept that waits for its next request [default: 75s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) idle_timeout: Option<String>,
    /// How long a connection, of a client or to the origin, may be silent before the system asks whether
    /// its other end is still there; at twice that it is given up, or at twice the patience with that
    /// side where that is longer [default: 30s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) tcp_keepalive: Option<String>,
}

/// What was asked for; where nothing was, the usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Connections of each listener.
    pub(crate) connections: Option<usize>,
    /// Connections of one client.
    pub(crate) per_client: Option<usize>,
    /// The content of a request.
    pub(crate) request_content: Option<ByteSize>,
    /// The content of a response.
    pub(crate) response_content: Option<ByteSize>,
    /// From the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// Without a byte of content.
    pub(crate) body_timeout: Duration,
    /// Content that has to come in that time.
    pub(crate) body_pace: Option<ByteSize>,
    /// Without a byte of a response taken.
    pub(crate) write_timeout: Duration,
    /// Without a request.
    pub(crate) idle_timeout: Duration,
    /// Without a packet.
    pub(crate) tcp_keepalive: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let usual = proxy::Limits::default();
        Self {
            connections: None,
            per_client: None,
            request_content: None,
            response_content: None,
            head_timeout: usual.head_timeout,
            body_timeout: usual.body_timeout,
            body_pace: None,
            write_timeout: usual.write_timeout,
            idle_timeout: usual.idle_timeout,
            tcp_keepalive: usual.tcp_keepalive,
        }
    }
}

/// Checks each.
pub(super) fn check(raw: RawLimits, texts: &Texts<'_>) -> Result<Bounds, Fault> {
    let usual = Bounds::default();
    let span = |option, typed, usual: Duration| {
        texts.of(option, typed).map_or(Ok(usual), |given| Ok(given.span(SHORTEST, DAY)?.0))
    };
    let connections = texts.of("--max-connections", raw.max_connections);
    let per_client = texts.of("--max-connections-per-client", raw.max_connections_per_client);
    let request = texts.of("--max-request-content", raw.max_request_content);
    let response = texts.of("--max-response-content", raw.max_response_content);
    let pace = texts.of("--client-body-pace", raw.client_body_pace);
    let tcp_keepalive = texts.of("--tcp-keepalive", raw.tcp_keepalive);
    Ok(Bounds {
        connections: number(connections)?,
        per_client: number(per_client)?,
        request_content: content(request)?,
        response_content: content(response)?,
        head_timeout: span("--client-head-timeout", raw.client_head_timeout, usual.head_timeout)?,
        body_timeout: span("--client-body-timeout", raw.client_body_timeout, usual.body_timeout)?,
        body_pace: pace.map(|given| given.size_within(ByteSize(1), FASTEST)).transpose()?,
        write_timeout: span("--write-timeout", raw.write_timeout, usual.write_timeout)?,
        idle_timeout: span("--idle-timeout", raw.idle_timeout, usual.idle_timeout)?,
        tcp_keepalive: tcp_keepalive.map_or(Ok(usual.tcp_keepalive), |given| {
            Ok(given.span(SECOND, LONGEST_KEEPALIVE)?.0)
        })?,
    })
}

fn number(given: Option<Given>) -> Result<Option<usize>, Fault> {
    given.map(|given| given.integer(1, MOST_CONNECTIONS).map(|number| number as usize)).transpose()
}

fn content(given: Option<Given>) -> Result<Option<ByteSize>, Fault> {
    given.map(|given| given.size_within(ByteSize(0), LARGEST_CONTENT)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    fn bounds(more: &[&str], environment: &[(&str, &str)]) -> Result<Bounds, String> {
        let all = [&["--port", "1", "--origin", "http://a"], more].concat();
        let args: Vec<_> = all.iter().map(std::ffi::OsString::from).collect();
        let find =
            |name: &str| Some(environment.iter().find(|(known, _)| *known == name)?.1.into());
        match crate::cli::read(&args, &find) {
            Ok(Command::Serve(serve)) => Ok(serve.bounds),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn nothing_is_bounded_that_nobody_asked_for_but_patience() {
        let usual = bounds(&[], &[]).unwrap();
        assert_eq!(usual, Bounds::default());
        assert_eq!((usual.connections, usual.per_client), (None, None));
        assert_eq!(usual.head_timeout, Duration::from_secs(10));
        assert_eq!(usual.idle_timeout, Duration::from_secs(75));
        assert_eq!(usual.body_timeout, Duration::from_secs(30));
        assert_eq!(usual.write_timeout, Duration::from_secs(30));
    }

    #[test]
    fn each_can_be_given_here_or_there() {
        let args = [
            ["--max-connections", "1000"],
            ["--max-connections-per-client", "1"],
            ["--max-request-content", "0"],
            ["--max-response-content", "2GiB"],
            ["--client-head-timeout", "1s"],
            ["--client-body-timeout", "2s"],
            ["--write-timeout", "3s"],
            ["--idle-timeout", "4s"],
            ["--client-body-pace", "10KiB"],
            ["--tcp-keepalive", "5s"],
        ];
        let expected = Bounds {
            connections: Some(1000),
            per_client: Some(1),
            request_content: Some(ByteSize(0)),
            response_content: Some(ByteSize(2 << 30)),
            head_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(4),
            body_pace: Some(ByteSize(10 << 10)),
            tcp_keepalive: Duration::from_secs(5),
        };
        assert_eq!(bounds(args.as_flattened(), &[]), Ok(expected));
        let variables = [("CACHING_PROXY_MAX_CONNECTIONS_PER_CLIENT", "7")];
        assert_eq!(bounds(&[], &variables).unwrap().per_client, Some(7));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (args, fault) in [
            (["--max-connections", "0"], "\"0\": it is out of range; give 1 to 10000000"),
            (["--max-connections", "all"], "it is not a whole number"),
            (["--max-connections-per-client", "0"], "it is out of range"),
            (["--max-request-content", "much"], "\"much\" is not a number"),
            (["--max-response-content", "2PiB"], "\"PiB\" is not a unit"),
            (["--client-head-timeout", "0"], "it is too short; give 1ms to 1d"),
            (["--client-body-timeout", "2d"], "it is too long"),
            (["--write-timeout", "-1"], "\"-1\""),
            (["--idle-timeout", ""], "it is empty"),
            (["--client-body-pace", "0"], "it is too small"),
            (["--tcp-keepalive", "500ms"], "it is too short; give 1s to 9h"),
            (["--tcp-keepalive", "10h"], "it is too long"),
        ] {
            let told = bounds(&args, &[]).unwrap_err();
            let is_told = told.starts_with(args[0]) && told.contains(fault);
            assert!(is_told && !told.contains('\n'), "{args:?}: {told}");
        }
    }
}
