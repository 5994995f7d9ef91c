//! The command line as it is written: texts, nothing checked yet.

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::clients::RawClients;
use super::environment::variable_of;
use super::http2::RawHttp2;
use super::limits::RawLimits;
use super::metrics::RawMetrics;
use super::origin_tls::RawOriginTls;
use super::tls::RawTls;
use super::tunnels::RawTunnels;

const EXAMPLES: &str = "\
Examples:
  caching-proxy --port 3000 --origin https://api.example.com
      Answer on http://127.0.0.1:3000 and keep what may be kept.
  caching-proxy --listen 0.0.0.0:80 --origin http://10.0.0.7:8000 --memory 1GiB --disk 20GiB
      Serve other machines too, with more room.
  caching-proxy --port 3000 --origin http://127.0.0.1:8000 --cache-ttl 0
      Keep only what the origin says may be kept.
  caching-proxy --clear-cache
      Empty every cache of this user, also those in use, and exit.
  caching-proxy purge --tag news --soft
      Make what has this tag stale in the running instances, and exit.
  caching-proxy --stats
      Show what the running instances have counted, and exit.
  caching-proxy demo
      Try it without a server of your own.

Sizes are written as 512k, 256MiB or 1GB, durations as 500ms, 30s, 5m or 1h30m.
Each option can also come from its variable; the command line wins over the environment.";

/// Forwards requests to an origin, keeps the responses that HTTP lets it keep, and answers from
/// them.
#[derive(Debug, Default, Parser)]
#[command(name = "caching-proxy", version, after_help = EXAMPLES)]
#[command(disable_help_subcommand = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Raw {
    /// Listen on this port of the loopback address; 0 lets the system pick one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) port: Option<String>,
    /// Listen on this address instead; 0.0.0.0 is reachable from other machines
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) tls: RawTls,
    /// Forward requests to this server: a URL with http or https
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,
    /// Ask the server by this version of HTTP: auto, http1 or http2
    /// [default: auto, which is http1 without TLS, and what the server chooses with it]
    #[arg(long, value_name = "NAME")]
    pub(crate) origin_protocol: Option<String>,
    #[command(flatten)]
    pub(crate) origin_tls: RawOriginTls,
    #[command(flatten)]
    pub(crate) clients: RawClients,
    #[command(flatten)]
    pub(crate) http2: RawHttp2,
    #[command(flatten)]
    pub(crate) limits: RawLimits,
    /// Keep the cache in this directory [default: one of its own in ~/.cache/caching-proxy]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<OsString>,
    /// Lifetime of responses that bring none; 0 for none [default: 5m, none with rfc9111]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) cache_ttl: Option<String>,
    /// Size of the cache in memory [default: 256MiB]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) memory: Option<String>,
    /// Size of the cache on disk [default: 1GiB]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) disk: Option<String>,
    /// Keep nothing on disk, and empty the cache that is there; a restart forgets everything
    #[arg(long)]
    pub(crate) no_disk: bool,
    /// Empty the cache, also under a running instance, and exit; alone, every cache of this user
    #[arg(long)]
    pub(crate) clear_cache: bool,
    #[command(flatten)]
    pub(crate) metrics: RawMetrics,
    /// What to write: off, error, warn, info or requests [default: requests on a terminal, else
    /// info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log: Option<String>,
    /// Threads that serve requests [default: one per core]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) workers: Option<String>,
    /// How long requests under way may take to end when the proxy is stopped [default: 25s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) drain: Option<String>,
    /// Take over from the instance that runs with the same cache directory, without refusing a
    /// connection; if none runs, just start
    #[arg(long)]
    pub(crate) take_over: bool,
    /// safe, or rfc9111 for every choice exactly as the RFC has it [default: safe]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// What becomes of responses that set a cookie: refuse does not store them, strip stores them
    /// without it, store gives everyone the same one [default: refuse, store with rfc9111]
    #[arg(long, value_name = "WHAT")]
    pub(crate) set_cookie: Option<String>,
    /// Response fields that outrank Cache-Control, most applicable first, with commas between; also
    /// Surrogate-Control and X-Accel-Expires [default: CDN-Cache-Control]
    #[arg(long, value_name = "LIST")]
    pub(crate) targeted_fields: Option<String>,
    /// How long connecting to the origin may take [default: 3.5s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) connect_timeout: Option<String>,
    /// How long the origin may take to begin its response [default: 60s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) first_byte_timeout: Option<String>,
    /// How long the origin may pause within a response [default: 30s]
    #[arg(long, value_name = "DURATION", allow_negative_numbers = true)]
    pub(crate) between_bytes_timeout: Option<String>,
    /// Connections to the origin at once [default: 512]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) origin_connections: Option<String>,
    #[command(flatten)]
    pub(crate) tunnels: RawTunnels,
    /// Proxies of this kind that a request may come through; more is a loop [default: 16]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_hops: Option<String>,
    /// What Cache-Status tells clients: off, normal, or full with the cache key [default: normal]
    #[arg(long, value_name = "WORD")]
    pub(crate) cache_status: Option<String>,
    /// How much content of a QUERY is read to look for its response; 0 to pass on all [default:
    /// 64KiB]
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    pub(crate) query_content: Option<String>,
    /// What to do instead of serving an origin.
    #[command(subcommand)]
    pub(crate) command: Option<RawCommand>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum RawCommand {
    /// Start a small origin with slow endpoints and the proxy in front, to try it
    Demo {
        /// Listen on this port of the loopback address [default: 0, the system picks one]
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        port: Option<String>,
    },
    /// Have running instances forget some of what they have stored, or make it stale
    Purge(RawPurge),
}

/// What to purge, and where.
#[derive(Debug, Args)]
pub(crate) struct RawPurge {
    /// This URL, as clients ask for it, with all its variants
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// All URLs that begin so; if it reaches into the query, all queries of that path
    #[arg(long, value_name = "URL")]
    pub(crate) prefix: Option<String>,
    /// All of this host, as clients name it, or the host of --group
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) host: Option<String>,
    /// All with this tag in Surrogate-Key, Cache-Tag or xkey
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// All of this group in Cache-Groups, of the host given with --host
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,
    /// Everything
    #[arg(long)]
    pub(crate) all: bool,
    /// Make it stale instead: it is validated, and may be served while that is under way or fails, as
    /// far as its terms allow
    #[arg(long)]
    pub(crate) soft: bool,
    #[command(flatten)]
    pub(crate) instances: RawInstances,
}

/// Whose caches are meant.
#[derive(Debug, Args)]
pub(crate) struct RawInstances {
    /// Of the instance with this cache directory [default: all running ones of this user]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache_dir: Option<OsString>,
    /// Of instances before this server
    #[arg(long, value_name = "URL")]
    pub(crate) origin: Option<String>,
    /// Of instances on this port
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) port: Option<String>,
    /// Of instances on the port of this address
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<String>,
}

/// The clap command, each option's help naming its variable.
pub(crate) fn command() -> clap::Command {
    Raw::command().mut_args(|arg| {
        let variable = arg.get_long().map(variable_of);
        match (variable, arg.get_help().map(ToString::to_string)) {
            (Some(variable), Some(help)) => arg.help(format!("{help} [env: {variable}]")),
            _ => arg,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound_and_help_names_each_variable() {
        command().debug_assert();
        let help = command().render_help().to_string().replace(['\n', ' '], "");
        for arg in Raw::command().get_arguments().filter(|arg| !arg.is_global_set()) {
            let variable = arg.get_long().map(variable_of).unwrap();
            assert!(help.contains(&format!("[env:{variable}]")), "{variable}\n{help}");
        }
    }

    #[test]
    fn help_has_examples() {
        assert!(command().render_help().to_string().contains("Examples:\n  caching-proxy --port"));
    }
}
