//! From what was asked for to what the proxy is started with, and to what is said of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use policy::Rules;
use proxy::clock::Clock;
use proxy::{ConnectionLimits, Inherited, Kind, Limits, Listen, Settings, Speaks, TlsSettings};
use store::DiskOptions;

use super::ServeError;
use crate::cli::{Certificates, Serve};
use crate::output::{Event, Place, Ready};
use crate::state::Claim;
use crate::units::Span;
use crate::{clock_millis, self_signed};

/// Where it is listened: what was asked for, and each of the `sockets` that was not.
pub(super) fn listeners(
    serve: &Serve,
    claim: Option<&Claim>,
    sockets: &[Inherited],
) -> Result<Vec<Listen>, ServeError> {
    let mut listen = asked_for(serve, claim)?;
    for Inherited { address, kind, .. } in sockets {
        if listen.iter().any(|known| known.address == *address) {
            continue;
        }
        // Any port is that of the socket.
        let fits = |known: &&mut Listen| {
            let any = SocketAddr::new(address.ip(), 0);
            known.address == any && known.speaks.kind() == *kind
        };
        if let Some(any) = listen.iter_mut().find(fits) {
            any.address = *address;
            continue;
        }
        let speaks = match kind {
            Kind::Http => Some(Speaks::Http),
            Kind::Redirect => Some(Speaks::Redirect(None)),
            Kind::Https => {
                listen.iter().find(|l| l.speaks.kind() == *kind).map(|l| l.speaks.clone())
            }
        };
        let speaks = speaks.ok_or(ServeError::NoCertificate(*address))?;
        listen.push(Listen { address: *address, speaks });
    }
    Ok(listen)
}

fn asked_for(serve: &Serve, claim: Option<&Claim>) -> Result<Vec<Listen>, ServeError> {
    let mut listen: Vec<_> = serve.listen.map(Listen::plain).into_iter().collect();
    let Some(tls) = &serve.tls else { return Ok(listen) };
    let pairs = match (&tls.certificates, claim) {
        (Certificates::Files(pairs), _) => pairs.clone(),
        (Certificates::SelfSigned, Some(claim)) => {
            let (directory, address) = (claim.directory(), tls.listen.ip());
            vec![self_signed::certificate(directory, address, clock_millis())?]
        }
        // Without a place to keep one there is none; only the demo has no place, and no TLS.
        (Certificates::SelfSigned, None) => Vec::new(),
    };
    let (clients, tells_chain) = (tls.clients.clone(), tls.tells_chain);
    let settings = TlsSettings { clients, tells_chain, ..TlsSettings::new(pairs) };
    let speaks = Speaks::Https(settings);
    listen.push(Listen { address: tls.listen, speaks });
    let redirect = tls.redirect.map(|address| Listen { address, speaks: Speaks::Redirect(None) });
    listen.extend(redirect);
    Ok(listen)
}

/// How many connections of clients there may be, where there is room for so many.
pub(super) fn connections(serve: &Serve, room: Option<usize>) -> ConnectionLimits {
    let total = room.unwrap_or(usize::MAX);
    ConnectionLimits {
        total,
        listener: serve.bounds.connections.unwrap_or(total).min(total),
        client: serve.bounds.per_client,
        ..ConnectionLimits::default()
    }
}

/// Said where more connections were asked for than there is room for.
pub(super) fn shortage(serve: &Serve, limits: &ConnectionLimits) -> Option<Event> {
    let asked = serve.bounds.connections.filter(|asked| *asked > limits.total)?;
    let message = format!(
        "--max-connections {asked}: open files and memory allow {} connections, which is the limit",
        limits.total
    );
    Some(Event::Trouble { code: "max-connections", message, times: 1 })
}

/// What is said when it serves, as far as that is known before.
pub(super) fn ready(
    serve: &Serve,
    claim: Option<&Claim>,
    listen: &[Listen],
    connections: &ConnectionLimits,
) -> Ready {
    Ready {
        connections: Some(connections.listener).filter(|most| *most < usize::MAX),
        metrics: None,
        answers: listen.iter().map(place).collect(),
        origin: serve.origin.to_string(),
        directory: claim.map(|claim| PathBuf::from(claim.directory())),
        memory: serve.memory,
        disk: serve.disk,
        ttl: Span(serve.ttl.0),
        workers: workers(serve),
    }
}

/// A listener as it is told of.
const fn place(listen: &Listen) -> Place {
    Place { kind: listen.speaks.kind(), address: listen.address }
}

/// What the proxy is started with.
pub(super) fn settings(
    serve: Serve,
    claim: Option<&Claim>,
    listen: Vec<Listen>,
    connections: ConnectionLimits,
) -> Settings {
    let disk = serve.disk.zip(claim);
    let disk = disk.map(|(size, claim)| DiskOptions { directory: claim.store(), capacity: size.0 });
    let default_ttl = Some(serve.ttl.0).filter(|ttl| !ttl.is_zero());
    Settings {
        listen,
        workers: workers(&serve),
        store: store::Options { memory: serve.memory.0, disk, ..store::Options::default() },
        rules: Rules {
            default_ttl,
            profile: serve.profile,
            set_cookie: serve.set_cookie,
            targeted: serve.targeted,
            cache_status: serve.cache_status,
            ..Rules::default()
        },
        limits: Limits {
            http2: serve.http2,
            head_timeout: serve.bounds.head_timeout,
            body_timeout: serve.bounds.body_timeout,
            body_pace: serve
                .bounds
                .body_pace
                .map(|size| usize::try_from(size.0).unwrap_or(usize::MAX)),
            write_timeout: serve.bounds.write_timeout,
            idle_timeout: serve.bounds.idle_timeout,
            tcp_keepalive: serve.bounds.tcp_keepalive,
            request_content: serve.bounds.request_content.map(|size| size.0),
            response_content: serve.bounds.response_content.map(|size| size.0),
            connections,
            connect_timeout: serve.connect_timeout,
            first_byte_timeout: serve.first_byte_timeout,
            between_bytes_timeout: serve.between_bytes_timeout,
            origin_connections: serve.origin_connections,
            tunnels: serve.tunnels.most,
            tunnel_idle: serve.tunnels.idle,
            hops: serve.max_hops,
            query_content: usize::try_from(serve.query_content.0).unwrap_or(usize::MAX),
            ..Limits::default()
        },
        clients: serve.clients,
        clock: Clock::System,
        origin: serve.origin,
        origin_tls: serve.origin_tls,
    }
}

fn workers(serve: &Serve) -> usize {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    serve.workers.unwrap_or_else(cores)
}
