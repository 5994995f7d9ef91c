//! The options about connections that go on in another protocol, such as WebSocket.

use std::time::Duration;

use clap::Args;

use super::check::{DAY, Given, SHORTEST, Texts};
use super::fault::Fault;

/// Each takes two connections.
const MOST: u64 = 1_000_000;

/// As they are written.
#[derive(Debug, Default, Args)]
pub(crate) struct RawTunnels {
    /// WebSocket and other upgraded connections at once; 0 takes up no upgrade [default: 10000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) tunnels: Option<String>,
    /// How long an upgraded connection or an event stream may be silent [default: 1h]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) tunnel_idle: Option<String>,
}

/// How many there may be, and their patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tunnels {
    /// At once; none if it is 0.
    pub(crate) most: usize,
    /// How long each may be silent.
    pub(crate) idle: Duration,
}

impl Default for Tunnels {
    fn default() -> Self {
        let limits = proxy::Limits::default();
        Self { most: limits.tunnels, idle: limits.tunnel_idle }
    }
}

/// Checks them.
pub(super) fn check(raw: RawTunnels, texts: &Texts<'_>) -> Result<Tunnels, Fault> {
    let usual = Tunnels::default();
    let most = texts.of("--tunnels", raw.tunnels);
    let most = most.map(|given| given.integer(0, MOST)).transpose()?;
    let idle = |given: Given| Ok(given.span(SHORTEST, DAY)?.0);
    let idle = texts.of("--tunnel-idle", raw.tunnel_idle).map(idle).transpose()?;
    Ok(Tunnels {
        most: most.map_or(usual.most, |most| most as usize),
        idle: idle.unwrap_or(usual.idle),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;

    fn tunnels(more: &[&str]) -> Result<Tunnels, String> {
        let all = [&["--port", "1", "--origin", "http://a"], more].concat();
        let args: Vec<_> = all.iter().map(std::ffi::OsString::from).collect();
        match crate::cli::read(&args, &|_| None) {
            Ok(Command::Serve(serve)) => Ok(serve.tunnels),
            Ok(other) => panic!("{other:?}"),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn there_are_many_and_they_are_patient_unless_told_otherwise() {
        assert_eq!(tunnels(&[]), Ok(Tunnels { most: 10_000, idle: Duration::from_hours(1) }));
        let limits = proxy::Limits::default();
        assert_eq!(tunnels(&[]), Ok(Tunnels { most: limits.tunnels, idle: limits.tunnel_idle }));
        let given = tunnels(&["--tunnels", "0", "--tunnel-idle", "90s"]);
        assert_eq!(given, Ok(Tunnels { most: 0, idle: Duration::from_secs(90) }));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (args, fault) in [
            (["--tunnels", "many"], "it is not a whole number; give 0 to 1000000"),
            (["--tunnels", "1000001"], "it is out of range; give 0 to 1000000"),
            (["--tunnel-idle", "0"], "it is too short; give 1ms to 1d"),
            (["--tunnel-idle", "2d"], "it is too long; give 1ms to 1d"),
        ] {
            let told = tunnels(&args).unwrap_err();
            assert!(told.contains(fault) && !told.contains('\n'), "{args:?}: {told}");
        }
    }
}
