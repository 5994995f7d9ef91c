//! From texts to settings: each value is checked once, and the first fault is told.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use policy::rules::{CacheStatus, Profile, SetCookie};
use proxy::{OriginUrl, Protocol};

use super::environment::{Lookup, variable_of};
use super::fault::{Fault, Source, example_of, named};
use super::raw::{Raw, RawCommand, RawInstances};
use super::tunnels;
use super::{Command, Instances, Purge, Serve, Telling};
use super::{clients, http2, limits, metrics, origin_tls, purge, targeted, tls};
use crate::output::Level;
use crate::units::{ByteSize, Span};

const MIB: ByteSize = ByteSize(1 << 20);
/// Each client that sends a QUERY may make the proxy hold so much.
const LARGEST_QUERY: ByteSize = ByteSize(16 << 20);
const LARGEST: ByteSize = ByteSize(1 << 50);
pub(super) const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const DAY: Duration = Duration::from_hours(24);
const YEAR: Duration = Duration::from_hours(24 * 365);

/// A value as given, with where it came from.
pub(super) struct Given {
    pub(super) option: &'static str,
    pub(super) source: Source,
    pub(super) value: OsString,
}

impl Given {
    pub(super) fn fault(&self, why: impl fmt::Display, fix: impl fmt::Display) -> Fault {
        Fault::of_value(self.option, self.source, &self.value, why, fix)
    }

    /// A fault whose fix is to write it as in the example.
    pub(super) fn unlike_example(&self, why: impl fmt::Display) -> Fault {
        self.fault(why, format!("write it like {}", example_of(self.option).unwrap_or_default()))
    }

    pub(super) fn text(&self) -> Result<&str, Fault> {
        self.value.to_str().ok_or_else(|| self.unlike_example("it is not UTF-8"))
    }

    pub(super) fn integer(&self, least: u64, most: u64) -> Result<u64, Fault> {
        let text = self.text()?.trim();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX));
        let fix = format!("give {least} to {most}");
        let number = number.ok_or_else(|| self.fault("it is not a whole number", &fix))?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(self.fault("it is out of range", fix))
    }

    fn port(&self) -> Result<u16, Fault> {
        self.integer(0, u64::from(u16::MAX)).map(|port| port as u16)
    }

    fn size(&self) -> Result<ByteSize, Fault> {
        self.size_within(MIB, LARGEST)
    }

    pub(super) fn size_within(&self, least: ByteSize, most: ByteSize) -> Result<ByteSize, Fault> {
        let size = ByteSize::parse(self.text()?).map_err(|why| self.unlike_example(why))?;
        if (least..=most).contains(&size) {
            return Ok(size);
        }
        let why = if size < least { "it is too small" } else { "it is too large" };
        Err(self.fault(why, format!("give {least} to {most}")))
    }

    pub(super) fn span(&self, least: Duration, most: Duration) -> Result<Span, Fault> {
        let span = Span::parse(self.text()?).map_err(|why| self.unlike_example(why))?;
        if (least..=most).contains(&span.0) {
            return Ok(span);
        }
        let why = if span.0 < least { "it is too short" } else { "it is too long" };
        Err(self.fault(why, format!("give {} to {}", Span(least), Span(most))))
    }

    pub(super) fn address(&self) -> Result<SocketAddr, Fault> {
        self.text()?
            .parse()
            .map_err(|_| self.unlike_example("it is not ADDR:PORT with a numeric address"))
    }

    fn origin(&self) -> Result<OriginUrl, Fault> {
        OriginUrl::parse(self.text()?).map_err(|why| self.unlike_example(why))
    }

    fn flag(&self) -> Result<bool, Fault> {
        match self.text()?.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(self.fault("it is neither yes nor no", "give 1 or 0")),
        }
    }

    /// What the word stands for, by the `choices`; `why` says what is wrong with any other word.
    pub(super) fn word<T: Copy>(&self, choices: &[(&str, T)], why: &str) -> Result<T, Fault> {
        let text = self.text()?;
        let chosen = choices.iter().find(|(word, _)| *word == text);
        let (_, meant) = chosen.ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let (last, others) = words.split_last().unwrap_or((&"", &[]));
            self.fault(why, format!("give {} or {last}", others.join(", ")))
        })?;
        Ok(*meant)
    }

    fn level(&self) -> Result<Level, Fault> {
        self.word(&Level::ALL.map(|level| (level.word(), level)), "there is no such level")
    }

    fn protocol(&self) -> Result<Protocol, Fault> {
        let choices =
            [("auto", Protocol::Auto), ("http1", Protocol::Http1), ("http2", Protocol::Http2)];
        self.word(&choices, "there is no such protocol")
    }

    fn profile(&self) -> Result<Profile, Fault> {
        let choices = [("safe", Profile::Safe), ("rfc9111", Profile::Rfc9111)];
        self.word(&choices, "there is no such profile")
    }

    fn set_cookie(&self, profile: Profile) -> Result<SetCookie, Fault> {
        let choices = [
            ("refuse", SetCookie::Refuse),
            ("strip", SetCookie::Strip),
            ("store", SetCookie::Store),
        ];
        let chosen = self.word(&choices, "it is none of the choices")?;
        if (chosen, profile) == (SetCookie::Refuse, Profile::Rfc9111) {
            let why = "the profile rfc9111 does not refuse them";
            return Err(self.fault(why, "give strip or store"));
        }
        Ok(chosen)
    }

    fn targeted(&self) -> Result<Vec<String>, Fault> {
        targeted::parse(self.text()?).map_err(|why| self.unlike_example(why))
    }

    fn cache_status(&self) -> Result<CacheStatus, Fault> {
        let choices = [
            ("off", CacheStatus::Off),
            ("normal", CacheStatus::Normal),
            ("full", CacheStatus::Full),
        ];
        self.word(&choices, "there is no such extent")
    }
}

/// The command line first, then the environment.
pub(super) struct Texts<'a> {
    environment: Lookup<'a>,
}

impl Texts<'_> {
    pub(super) fn of(
        &self,
        option: &'static str,
        typed: Option<impl Into<OsString>>,
    ) -> Option<Given> {
        if let Some(value) = typed {
            return Some(Given { option, source: Source::CommandLine, value: value.into() });
        }
        // An empty variable is how many tools write one that is not set.
        let value = (self.environment)(&variable_of(option)).filter(|value| !value.is_empty())?;
        Some(Given { option, source: Source::Environment, value })
    }

    pub(super) fn flag(&self, option: &'static str, typed: bool) -> Result<Option<Source>, Fault> {
        if typed {
            return Ok(Some(Source::CommandLine));
        }
        let Some(given) = self.of(option, None::<OsString>) else { return Ok(None) };
        Ok(given.flag()?.then_some(Source::Environment))
    }
}

/// Checks everything that was given.
pub(super) fn command(raw: Raw, environment: Lookup<'_>) -> Result<Command, Fault> {
    let texts = Texts { environment };
    match raw.command {
        Some(RawCommand::Demo { port }) => {
            let port = texts.of("--port", port).map_or(Ok(0), |given| given.port())?;
            return Ok(Command::Demo { port });
        }
        Some(RawCommand::Purge(raw)) => {
            let (what, soft) = (purge::what(&raw)?, raw.soft);
            let instances = instances(raw.instances, &texts)?;
            return Ok(Command::Purge(Purge { what, soft, instances }));
        }
        None => {}
    }
    if let Some(errand) = errand(&raw, &texts)? {
        let Raw { cache_dir, origin, port, listen, .. } = raw;
        let instances = instances(RawInstances { cache_dir, origin, port, listen }, &texts)?;
        return Ok(match errand {
            Errand::Clear => Command::Clear(instances),
            Errand::Tell(what) => Command::Tell(what, instances),
        });
    }
    serve(raw, &texts).map(|serve| Command::Serve(Box::new(serve)))
}

/// What is done in place of serving.
#[derive(Clone, Copy)]
enum Errand {
    Clear,
    Tell(Telling),
}

/// The errand that an option names. What was typed wins over a variable.
fn errand(raw: &Raw, texts: &Texts<'_>) -> Result<Option<Errand>, Fault> {
    let mut named: Option<(Given, Errand)> = None;
    for (option, typed, errand) in [
        ("--clear-cache", raw.clear_cache, Errand::Clear),
        ("--stats", raw.metrics.stats, Errand::Tell(Telling::Stats)),
        ("--metrics", raw.metrics.metrics, Errand::Tell(Telling::Metrics)),
    ] {
        let given = texts.flag(option, typed)?;
        let given = given.map(|source| Given { option, source, value: "1".into() });
        let (before, what) = named.map_or((None, errand), |(given, what)| (Some(given), what));
        let (before, now) = one_of(before, given)?;
        named = before.map(|given| (given, what)).or(now.map(|given| (given, errand)));
    }
    Ok(named.map(|(_, errand)| errand))
}

fn instances(raw: RawInstances, texts: &Texts<'_>) -> Result<Instances, Fault> {
    let directory = texts.of("--cache-dir", raw.cache_dir).map(|given| PathBuf::from(given.value));
    let origin = texts.of("--origin", raw.origin).map(|given| given.origin()).transpose()?;
    let listen = listen_of(texts.of("--port", raw.port), texts.of("--listen", raw.listen))?;
    Ok(Instances { directory, origin, port: listen.map(|address| address.port()) })
}

fn serve(mut raw: Raw, texts: &Texts<'_>) -> Result<Serve, Fault> {
    let usual = ends(&mut raw, texts)?;
    let span = |option, typed, usual: Duration, least, most| {
        texts.of(option, typed).map_or(Ok(usual), |given| Ok(given.span(least, most)?.0))
    };
    let patience = |option, typed, usual| span(option, typed, usual, SHORTEST, DAY);
    let memory = texts.of("--memory", raw.memory);
    let log = texts.of("--log", raw.log);
    let workers = texts.of("--workers", raw.workers);
    let profile = texts.of("--profile", raw.profile);
    let profile = profile.map_or(Ok(usual.profile), |given| given.profile())?;
    // A lifetime that nobody gave is not the standard's choice.
    let ttl = if profile == Profile::Rfc9111 { Duration::ZERO } else { usual.ttl.0 };
    let set_cookie = texts.of("--set-cookie", raw.set_cookie);
    let targeted = texts.of("--targeted-fields", raw.targeted_fields);
    let connections = texts.of("--origin-connections", raw.origin_connections);
    let connections = connections.map(|given| given.integer(1, 65_536)).transpose()?;
    let hops = texts.of("--max-hops", raw.max_hops);
    let hops = hops.map(|given| given.integer(0, 255)).transpose()?;
    let cache_status = texts.of("--cache-status", raw.cache_status);
    let query = texts.of("--query-content", raw.query_content);
    let query = query.map(|given| given.size_within(ByteSize(0), LARGEST_QUERY)).transpose()?;
    Ok(Serve {
        directory: texts.of("--cache-dir", raw.cache_dir).map(|given| given.value.into()),
        ttl: Span(span("--cache-ttl", raw.cache_ttl, ttl, Duration::ZERO, YEAR)?),
        memory: memory.map_or(Ok(usual.memory), |given| given.size())?,
        disk: disk(
            texts.of("--disk", raw.disk),
            texts.flag("--no-disk", raw.no_disk)?,
            usual.disk,
        )?,
        log: log.map(|given| given.level()).transpose()?,
        workers: workers.map(|given| given.integer(1, 1024)).transpose()?.map(|n| n as usize),
        take_over: texts.flag("--take-over", raw.take_over)?.is_some(),
        drain: span("--drain", raw.drain, usual.drain, Duration::ZERO, DAY)?,
        profile,
        set_cookie: set_cookie.map_or(Ok(usual.set_cookie), |given| given.set_cookie(profile))?,
        targeted: targeted.map_or(Ok(usual.targeted), |given| given.targeted())?,
        connect_timeout: patience("--connect-timeout", raw.connect_timeout, usual.connect_timeout)?,
        first_byte_timeout: patience(
            "--first-byte-timeout",
            raw.first_byte_timeout,
            usual.first_byte_timeout,
        )?,
        between_bytes_timeout: patience(
            "--between-bytes-timeout",
            raw.between_bytes_timeout,
            usual.between_bytes_timeout,
        )?,
        query_content: query.unwrap_or(usual.query_content),
        origin_connections: connections.map_or(usual.origin_connections, |n| n as usize),
        max_hops: hops.map_or(usual.max_hops, |n| n as usize),
        cache_status: cache_status.map_or(Ok(usual.cache_status), |given| given.cache_status())?,
        ..usual
    })
}

/// Where requests come from and go to; the rest as usual.
fn ends(raw: &mut Raw, texts: &Texts<'_>) -> Result<Serve, Fault> {
    let origin = texts.of("--origin", raw.origin.take()).ok_or_else(|| {
        missing("--origin", "the server to forward to", "or try `caching-proxy demo`")
    })?;
    let protocol = texts.of("--origin-protocol", raw.origin_protocol.take());
    let protocol = protocol.map_or(Ok(Protocol::Auto), |given| given.protocol())?;
    let origin = origin.origin()?.by(protocol);
    let (port, address) = (raw.port.take(), raw.listen.take());
    let listen = listen_of(texts.of("--port", port), texts.of("--listen", address))?;
    let tls = tls::check(std::mem::take(&mut raw.tls), listen, texts)?;
    let first = listen.or(tls.as_ref().map(|tls| tls.listen)).ok_or_else(|| {
        missing("--port", "the port to listen on", "or --listen ADDR:PORT for another address")
    })?;
    let origin_tls = origin_tls::check(std::mem::take(&mut raw.origin_tls), &origin, texts)?;
    let clients = clients::check(std::mem::take(&mut raw.clients), texts)?;
    let http2 = http2::check(std::mem::take(&mut raw.http2), texts)?;
    let tunnels = tunnels::check(std::mem::take(&mut raw.tunnels), texts)?;
    let bounds = limits::check(std::mem::take(&mut raw.limits), texts)?;
    let metrics = metrics::check(std::mem::take(&mut raw.metrics), texts)?;
    let usual = Serve::new(first, origin);
    Ok(Serve { listen, tls, origin_tls, clients, http2, bounds, metrics, tunnels, ..usual })
}

/// One of the two, or neither. What was typed wins over a variable.
pub(super) fn listen_of(
    port: Option<Given>,
    address: Option<Given>,
) -> Result<Option<SocketAddr>, Fault> {
    let (port, address) = one_of(port, address)?;
    let port = port.map(|given| given.port()).transpose()?;
    let loopback = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    Ok(address.map(|given| given.address()).transpose()?.or(loopback))
}

fn disk(
    size: Option<Given>,
    none: Option<Source>,
    usual: Option<ByteSize>,
) -> Result<Option<ByteSize>, Fault> {
    let none = none.map(|source| Given { option: "--no-disk", source, value: "1".into() });
    let (size, none) = one_of(size, none)?;
    if none.is_some() {
        return Ok(None);
    }
    size.map_or(Ok(usual), |given| given.size().map(Some))
}

/// Of two options that exclude each other, the one from the stronger source.
pub(super) fn one_of(
    first: Option<Given>,
    second: Option<Given>,
) -> Result<(Option<Given>, Option<Given>), Fault> {
    let (Some(one), Some(other)) = (&first, &second) else { return Ok((first, second)) };
    match (one.source, other.source) {
        (Source::CommandLine, Source::Environment) => Ok((first, None)),
        (Source::Environment, Source::CommandLine) => Ok((None, second)),
        _ => Err(Fault::new(format!(
            "{} and {} exclude each other; give one of them",
            named(one.option, one.source),
            named(other.option, other.source)
        ))),
    }
}

fn missing(option: &str, what: &str, otherwise: &str) -> Fault {
    let example = example_of(option).unwrap_or_default();
    Fault::new(format!("{option}: it is missing; give {what}, for example {example}, {otherwise}"))
}
