//! Listening sockets that a supervisor has opened before it started this process (systemd socket
//! activation).
//!
//! They begin at file descriptor 3, and there are `LISTEN_FDS` of them if `LISTEN_PID` is this
//! process. Where the command line names the address of one, that listener uses it. Any other one
//! speaks what its name in `LISTEN_FDNAMES` says: `https`, `redirect`, and plain HTTP otherwise.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;
use proxy::{Inherited, Kind};

use crate::cli::environment::Lookup;
use crate::succession;

/// More are a mistake.
const MOST: usize = 512;

/// Why the sockets cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActivationError {
    /// The number is none.
    #[error("LISTEN_FDS is {0:?}; it has to be the number of sockets, at most {MOST}")]
    Count(OsString),
    /// Not a socket, or of another kind.
    #[error(
        "the socket {number} of LISTEN_FDS cannot be used: {source}; it has to be a listening TCP socket"
    )]
    Socket {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// Takes the sockets that are meant for this process.
pub(crate) fn take(environment: Lookup<'_>) -> Result<Vec<Inherited>, ActivationError> {
    let text = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    let is_ours = text("LISTEN_PID").is_some_and(|pid| pid == std::process::id().to_string());
    let Some(count) = environment("LISTEN_FDS").filter(|_| is_ours) else { return Ok(Vec::new()) };
    let number = count.to_str().and_then(|text| text.parse().ok());
    let number: usize =
        number.filter(|number| *number <= MOST).ok_or(ActivationError::Count(count))?;
    let names = text("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut all = ListenFd::from_env();
    let mut taken: Vec<Inherited> = Vec::new();
    for number in 0..number {
        let kind = names.next().and_then(succession::kind).unwrap_or(Kind::Http);
        let failed = |source| ActivationError::Socket { number: number + 1, source };
        let Some(socket) = all.take_tcp_listener(number).map_err(failed)? else { continue };
        check(&socket).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        match taken.iter_mut().find(|known| known.address == address) {
            Some(known) => known.sockets.push(socket),
            None => taken.push(Inherited { address, kind, sockets: vec![socket] }),
        }
    }
    Ok(taken)
}

#[cfg(target_os = "linux")]
fn check(socket: &TcpListener) -> io::Result<()> {
    if rustix::net::sockopt::socket_acceptconn(socket)? {
        return Ok(());
    }
    Err(io::Error::other("it does not listen"))
}

#[cfg(not(target_os = "linux"))]
fn check(_: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// What the environment says, with the addresses of these sockets where it does not say where to
/// listen.
pub(crate) fn with_addresses<'a>(
    environment: Lookup<'a>,
    sockets: &'a [Inherited],
) -> impl Fn(&str) -> Option<OsString> + 'a {
    move |name| {
        environment(name).or_else(|| {
            let (kind, port) = match name {
                "CACHING_PROXY_LISTEN" => (Kind::Http, "CACHING_PROXY_PORT"),
                "CACHING_PROXY_TLS_LISTEN" => (Kind::Https, "CACHING_PROXY_TLS_PORT"),
                "CACHING_PROXY_REDIRECT_LISTEN" => (Kind::Redirect, "CACHING_PROXY_REDIRECT_PORT"),
                _ => return None,
            };
            if environment(port).is_some() {
                return None;
            }
            let socket = sockets.iter().find(|socket| socket.kind == kind)?;
            Some(socket.address.to_string().into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets() -> Vec<Inherited> {
        let one = |kind, port| Inherited {
            address: ([127, 0, 0, 1], port).into(),
            kind,
            sockets: Vec::new(),
        };
        vec![one(Kind::Https, 443), one(Kind::Http, 80), one(Kind::Http, 81)]
    }

    #[test]
    fn sockets_say_where_to_listen_unless_somebody_else_does() {
        let sockets = sockets();
        let looked_up = |set: &'static str, name: &str| {
            let environment = move |name: &str| (name == set).then(|| "given".into());
            with_addresses(&environment, &sockets)(name)
        };
        let table = [
            ("", "CACHING_PROXY_LISTEN", Some("127.0.0.1:80")),
            ("", "CACHING_PROXY_TLS_LISTEN", Some("127.0.0.1:443")),
            ("", "CACHING_PROXY_REDIRECT_LISTEN", None),
            ("", "CACHING_PROXY_ORIGIN", None),
            ("CACHING_PROXY_LISTEN", "CACHING_PROXY_LISTEN", Some("given")),
            ("CACHING_PROXY_PORT", "CACHING_PROXY_LISTEN", None),
        ];
        for (set, name, expected) in table {
            assert_eq!(looked_up(set, name), expected.map(Into::into), "{set}, {name}");
        }
    }

    #[test]
    fn sockets_that_are_not_for_this_process_are_left_alone() {
        let with = |pid: &'static str, count: &'static str| {
            take(&move |name: &str| match name {
                "LISTEN_PID" => Some(pid.into()),
                "LISTEN_FDS" => Some(count.into()),
                _ => None,
            })
        };
        assert!(with("1", "1").unwrap().is_empty());
        assert!(with("", "1").unwrap().is_empty());
        assert!(take(&|_: &str| None).unwrap().is_empty());
    }
}
