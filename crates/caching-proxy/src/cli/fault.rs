//! Bad input in one line: the option, the value, what is wrong and what to do.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::environment::variable_of;
use super::raw;

/// The options in the order of the help, each with a use that is right.
const EXAMPLES: [(&str, &str); 58] = [
    ("--port", "--port 3000"),
    ("--listen", "--listen 127.0.0.1:3000"),
    ("--tls-port", "--tls-port 3443"),
    ("--tls-listen", "--tls-listen 0.0.0.0:443"),
    ("--tls-cert", "--tls-cert /etc/tls/site.pem"),
    ("--tls-key", "--tls-key /etc/tls/site.key"),
    ("--tls-client-ca", "--tls-client-ca /etc/tls/clients.pem"),
    ("--tls-client-auth", "--tls-client-auth optional"),
    ("--redirect-port", "--redirect-port 3080"),
    ("--redirect-listen", "--redirect-listen 0.0.0.0:80"),
    ("--origin", "--origin http://127.0.0.1:8000"),
    ("--origin-protocol", "--origin-protocol http2"),
    ("--origin-ca", "--origin-ca /etc/tls/authority.pem"),
    ("--origin-cert", "--origin-cert /etc/tls/proxy.pem"),
    ("--origin-key", "--origin-key /etc/tls/proxy.key"),
    ("--origin-name", "--origin-name api.example.com"),
    ("--trusted-proxy", "--trusted-proxy 10.0.0.0/8,192.0.2.7"),
    ("--trusted-field", "--trusted-field forwarded"),
    ("--forwarded", "--forwarded both"),
    ("--http2-streams", "--http2-streams 100"),
    ("--http2-header-list", "--http2-header-list 32KiB"),
    ("--http2-resets", "--http2-resets 100"),
    ("--max-connections", "--max-connections 10000"),
    ("--max-connections-per-client", "--max-connections-per-client 100"),
    ("--max-request-content", "--max-request-content 10MiB"),
    ("--max-response-content", "--max-response-content 1GiB"),
    ("--client-head-timeout", "--client-head-timeout 10s"),
    ("--client-body-timeout", "--client-body-timeout 30s"),
    ("--client-body-pace", "--client-body-pace 1KiB"),
    ("--write-timeout", "--write-timeout 30s"),
    ("--idle-timeout", "--idle-timeout 75s"),
    ("--tcp-keepalive", "--tcp-keepalive 30s"),
    ("--cache-dir", "--cache-dir /var/cache/caching-proxy"),
    ("--cache-ttl", "--cache-ttl 5m"),
    ("--memory", "--memory 256MiB"),
    ("--disk", "--disk 1GiB"),
    ("--metrics-listen", "--metrics-listen 127.0.0.1:9464"),
    ("--metrics-token-file", "--metrics-token-file /etc/caching-proxy/token"),
    ("--log", "--log info"),
    ("--workers", "--workers 4"),
    ("--drain", "--drain 25s"),
    ("--profile", "--profile safe"),
    ("--set-cookie", "--set-cookie strip"),
    ("--targeted-fields", "--targeted-fields Surrogate-Control,CDN-Cache-Control"),
    ("--connect-timeout", "--connect-timeout 3.5s"),
    ("--first-byte-timeout", "--first-byte-timeout 60s"),
    ("--between-bytes-timeout", "--between-bytes-timeout 30s"),
    ("--origin-connections", "--origin-connections 512"),
    ("--tunnels", "--tunnels 10000"),
    ("--tunnel-idle", "--tunnel-idle 1h"),
    ("--max-hops", "--max-hops 16"),
    ("--cache-status", "--cache-status normal"),
    ("--query-content", "--query-content 64KiB"),
    ("--url", "--url http://127.0.0.1:3000/news"),
    ("--prefix", "--prefix http://127.0.0.1:3000/blog/"),
    ("--host", "--host 127.0.0.1:3000"),
    ("--tag", "--tag news"),
    ("--group", "--group news"),
];

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    CommandLine,
    Environment,
}

/// The line that tells a user what to change. It has no line break, whatever was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault(String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Fault {
    /// A fault that is about no single value.
    pub(crate) fn new(line: impl Into<String>) -> Self {
        let line: String = line.into();
        let line = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        Self(line)
    }

    /// This value of this option is wrong because of `why`; `fix` says what to give.
    pub(crate) fn of_value(
        option: &str,
        source: Source,
        value: &OsStr,
        why: impl fmt::Display,
        fix: impl fmt::Display,
    ) -> Self {
        let value = value.to_string_lossy();
        Self::new(format!("{}: {value:?}: {why}; {fix}", named(option, source)))
    }

    /// Condenses what clap found wrong. `args` are the arguments after the program's name.
    pub(crate) fn of_clap(error: &clap::Error, args: &[OsString]) -> Self {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => texts.first().cloned(),
            _ => None,
        };
        let option = text(ContextKind::InvalidArg).unwrap_or_default();
        let bare = option.split([' ', '=']).next().unwrap_or_default();
        match error.kind() {
            ErrorKind::UnknownArgument => {
                unknown(bare, text(ContextKind::SuggestedArg).as_deref(), args)
            }
            ErrorKind::InvalidSubcommand => {
                let word = text(ContextKind::InvalidSubcommand).unwrap_or_default();
                unexpected(&word, text(ContextKind::SuggestedSubcommand).as_deref())
            }
            ErrorKind::InvalidValue => {
                let example = example_of(bare).map(|use_| format!(", for example {use_}"));
                Self::new(format!("{bare}: a value is missing{}", example.unwrap_or_default()))
            }
            ErrorKind::TooManyValues => Self::new(format!("{bare}: it takes no value")),
            ErrorKind::ArgumentConflict if option.is_empty() => {
                misplaced(&text(ContextKind::InvalidSubcommand).unwrap_or_default())
            }
            ErrorKind::ArgumentConflict => {
                Self::new(format!("{bare}: it is given more than once; give it once"))
            }
            ErrorKind::InvalidUtf8 => Self::new("an argument is not UTF-8; write it in UTF-8"),
            _ => Self::new(first_line(error)),
        }
    }
}

/// The option's name, with its variable when the value came from there.
pub(crate) fn named(option: &str, source: Source) -> String {
    match source {
        Source::CommandLine => option.to_owned(),
        Source::Environment => format!("{option} (from {})", variable_of(option)),
    }
}

/// A use of the option that is right.
pub(crate) fn example_of(option: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(known, _)| *known == option).map(|(_, example)| *example)
}

fn unknown(option: &str, suggested: Option<&str>, args: &[OsString]) -> Fault {
    if !option.starts_with('-') {
        return unexpected(option, None);
    }
    if let Some(fault) = negative(option, args) {
        return fault;
    }
    // `-port 3000` reaches clap as the unknown letter `p`; the word tells what was meant.
    let typed = args.iter().filter_map(|arg| arg.to_str()).find(|arg| arg.starts_with(option));
    let typed = typed.map_or(option, |arg| arg.split('=').next().unwrap_or(arg));
    let long = format!("-{typed}");
    let known = EXAMPLES.iter().find(|(known, _)| *known == long).map(|(known, _)| *known);
    match suggested.or(known) {
        Some(meant) => Fault::new(format!("unknown option {typed:?}; did you mean {meant}?")),
        None => Fault::new(format!("unknown option {typed:?}; --help lists the options")),
    }
}

/// `--cache-ttl -1s` reaches clap as the unknown letter `1`; it was meant as a value.
fn negative(option: &str, args: &[OsString]) -> Option<Fault> {
    let is_value = |arg: &str| {
        arg.starts_with(option) && arg[1..].starts_with(|first: char| first.is_ascii_digit())
    };
    let pairs = args.windows(2).filter_map(|pair| pair[0].to_str().zip(pair[1].to_str()));
    let (owner, value) = pairs.into_iter().find(|(_, value)| is_value(value))?;
    let (owner, example) = EXAMPLES.iter().find(|(known, _)| *known == owner)?;
    Some(Fault::new(format!("{owner}: {value:?}: it cannot be negative; write it like {example}")))
}

/// A word after options, where clap allows no command.
fn misplaced(word: &str) -> Fault {
    if raw::command().find_subcommand(word).is_none() {
        return unexpected(word, None);
    }
    let use_ = format!("caching-proxy {word}");
    Fault::new(format!("{word}: it goes first and has options of its own; see {use_} --help"))
}

fn unexpected(word: &str, suggested: Option<&str>) -> Fault {
    if let Some(meant) = suggested {
        return Fault::new(format!("unknown command {word:?}; did you mean {meant}?"));
    }
    if word.contains("://") {
        return Fault::new(format!("unexpected argument {word:?}; write --origin {word}"));
    }
    Fault::new(format!("unexpected argument {word:?}; --help lists the options"))
}

/// What clap prints first, without its prefix.
fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    format!("{}; --help lists the options", line.trim_start_matches("error: "))
}
