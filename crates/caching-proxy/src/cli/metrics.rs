//! The options about what is counted: where it is told, and to whom.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::check::Texts;
use super::fault::{Fault, named};

/// As they are written.
#[derive(Debug, Default, Args)]
pub(crate) struct RawMetrics {
    /// Show what running instances have counted, and exit; --cache-dir, --origin or --port choose
    /// among them
    #[arg(long)]
    pub(crate) stats: bool,
    /// The same for Prometheus, of one instance
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Tell metrics to Prometheus on this address, at /metrics; one that other machines reach needs
    /// --metrics-token-file [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics_listen: Option<String>,
    /// Tell metrics only to those who show the token in this file (Authorization: Bearer)
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_token_file: Option<OsString>,
}

/// Where metrics are told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Metrics {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Where the token is that is asked for.
    pub(crate) token: Option<PathBuf>,
}

/// Checks them together.
pub(super) fn check(raw: RawMetrics, texts: &Texts<'_>) -> Result<Option<Metrics>, Fault> {
    let listen = texts.of("--metrics-listen", raw.metrics_listen);
    let token = texts.of("--metrics-token-file", raw.metrics_token_file);
    let Some(given) = listen else {
        return token.map_or(Ok(None), |token| {
            Err(Fault::new(format!(
                "{}: metrics are told nowhere; give an address for them with --metrics-listen \
                 ADDR:PORT",
                named(token.option, token.source)
            )))
        });
    };
    let listen = given.address()?;
    let token = token.map(|given| PathBuf::from(given.value));
    if token.is_none() && !listen.ip().to_canonical().is_loopback() {
        let why = "other machines may reach it";
        let fix = "say with --metrics-token-file FILE who may read there, or give an address of \
                   this machine alone, such as 127.0.0.1:9464";
        return Err(given.fault(why, fix));
    }
    Ok(Some(Metrics { listen, token }))
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Telling, read};
    use super::*;

    fn metrics(more: &[&str]) -> Result<Option<Metrics>, String> {
        let all = [&["--port", "1", "--origin", "http://a"], more].concat();
        let args: Vec<_> = all.iter().map(OsString::from).collect();
        match read(&args, &|_| None) {
            Ok(Command::Serve(serve)) => Ok(serve.metrics),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn they_are_told_nowhere_unless_asked_for() {
        assert_eq!(metrics(&[]), Ok(None));
        for address in ["127.0.0.1:9464", "127.8.8.8:1", "[::1]:0", "[::ffff:127.0.0.1]:9"] {
            let expected = Metrics { listen: address.parse().unwrap(), token: None };
            assert_eq!(metrics(&["--metrics-listen", address]), Ok(Some(expected)), "{address}");
        }
    }

    #[test]
    fn where_others_reach_it_a_token_is_needed() {
        for address in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[2001:db8::1]:1"] {
            let told = metrics(&["--metrics-listen", address]).unwrap_err();
            let is_told = told.contains("other machines") && told.contains("--metrics-token-file");
            assert!(is_told && !told.contains('\n'), "{told}");
            let with = ["--metrics-listen", address, "--metrics-token-file", "/t"];
            let token = metrics(&with).unwrap().unwrap().token;
            assert_eq!(token, Some("/t".into()), "{address}");
        }
    }

    #[test]
    fn counters_are_told_of_the_instances_that_are_chosen() {
        let told = |args: &[&str], set: &str| {
            let args: Vec<_> = args.iter().map(OsString::from).collect();
            let set = set.to_owned();
            match read(&args, &move |name| (name == set).then(|| "1".into())) {
                Ok(Command::Tell(what, instances)) => Ok((what, instances.port)),
                Ok(other) => panic!("{other:?}"),
                Err(fault) => Err(fault.to_string()),
            }
        };
        assert_eq!(told(&["--stats"], ""), Ok((Telling::Stats, None)));
        let narrowed = told(&["--metrics", "--port", "1", "--origin", "http://a"], "");
        assert_eq!(narrowed, Ok((Telling::Metrics, Some(1))));
        // What was typed counts.
        let typed = told(&["--metrics"], "CACHING_PROXY_CLEAR_CACHE");
        assert_eq!(typed, Ok((Telling::Metrics, None)));
        for args in [["--stats", "--metrics"], ["--stats", "--clear-cache"]] {
            let fault = told(&args, "").unwrap_err();
            assert!(fault.contains("exclude each other"), "{fault}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (args, fault) in [
            (["--metrics-listen", "9464"], "write it like --metrics-listen 127.0.0.1:9464"),
            (["--metrics-listen", "localhost:9464"], "numeric address"),
            (["--metrics-token-file", "/t"], "metrics are told nowhere"),
        ] {
            let told = metrics(&args).unwrap_err();
            assert!(told.contains(fault) && !told.contains('\n'), "{args:?}: {told}");
        }
    }
}
