//! Where clients come in: listening sockets, new ones or another process's, and what is spoken there.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::front::{Front, listener};
use crate::head::Scheme;
use crate::server::StartError;
use crate::settings::{Kind, Listen, Speaks};
use crate::tls::Certificates;
use crate::worker::Door;

/// Listening sockets of one address that somebody else has opened. What waits in their queues is
/// lost when the last descriptor of one is closed, so all of them go on.
#[derive(Debug)]
pub struct Inherited {
    /// Where they listen.
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: Kind,
    /// The sockets, one or more.
    pub sockets: Vec<TcpListener>,
}

impl Inherited {
    fn copy(&self) -> io::Result<Self> {
        let sockets = self.sockets.iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        Ok(Self { sockets, ..*self })
    }
}

/// Copies of the sockets, for the process that takes over.
pub(crate) fn copies(all: &[Inherited]) -> io::Result<Vec<Inherited>> {
    all.iter().map(Inherited::copy).collect()
}

/// All listeners.
pub(crate) struct Entrance {
    pub(crate) addresses: Vec<SocketAddr>,
    /// Each with the sockets of each worker.
    pub(crate) doors: Vec<Door<Vec<Vec<TcpListener>>>>,
    pub(crate) certificates: Vec<Arc<Certificates>>,
    /// Other descriptors of the same sockets.
    pub(crate) copies: Vec<Inherited>,
}

impl Entrance {
    /// Opens what is not among the `inherited`, and takes the others from there, as they are.
    pub(crate) fn open(
        listen: Vec<Listen>,
        workers: usize,
        inherited: &mut Vec<Inherited>,
    ) -> Result<Self, StartError> {
        let (mut addresses, mut doors, mut certificates) = (Vec::new(), Vec::new(), Vec::new());
        let mut copies = Vec::new();
        let mut tls_port = None;
        for (number, Listen { address, speaks }) in listen.into_iter().enumerate() {
            let failed = |source| StartError::Listen { address, source };
            let kind = speaks.kind();
            let sockets = match take(inherited, address, kind) {
                Some(sockets) => sockets,
                None => listener::bind(address, workers).map_err(failed)?,
            };
            let bound = sockets.first().and_then(|listener| listener.local_addr().ok());
            let bound = bound.unwrap_or(address);
            let front = match speaks {
                Speaks::Http => Front::Plain,
                Speaks::Https(settings) => {
                    let loaded = Certificates::load(settings)?;
                    certificates.push(Arc::clone(&loaded));
                    tls_port = tls_port.or(Some(bound.port()));
                    Front::Tls(loaded)
                }
                Speaks::Redirect(port) => {
                    let usual = Scheme::Https.default_port();
                    Front::Redirect(port.or(tls_port).unwrap_or(usual))
                }
            };
            addresses.push(bound);
            let own = Inherited { address: bound, kind, sockets };
            copies.push(own.copy().map_err(failed)?);
            let listener = share(own.sockets, workers).map_err(failed)?;
            doors.push(Door { number, listener, front });
        }
        Ok(Self { addresses, doors, certificates, copies })
    }
}

/// Takes the sockets of an address. Port 0 is any port of a listener of this kind.
fn take(
    inherited: &mut Vec<Inherited>,
    address: SocketAddr,
    kind: Kind,
) -> Option<Vec<TcpListener>> {
    let fits = |one: &Inherited| match address.port() {
        0 => one.kind == kind && one.address.ip() == address.ip(),
        // Whatever was spoken there before: nobody else could listen there anyway.
        _ => one.address == address,
    };
    let at = inherited.iter().position(fits)?;
    Some(inherited.remove(at).sockets)
}

/// The sockets of each worker: where there are more workers some share one, where there are fewer
/// some have several.
fn share(sockets: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut shares: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let without = shares.iter_mut().skip(sockets.len());
    for (share, socket) in without.zip(sockets.iter().cycle()) {
        share.push(socket.try_clone()?);
    }
    for (number, socket) in sockets.into_iter().enumerate() {
        socket.set_nonblocking(true)?;
        if let Some(share) = shares.get_mut(number % workers.max(1)) {
            share.push(socket);
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(count: usize) -> Vec<TcpListener> {
        listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), count).unwrap()
    }

    fn inherited(kind: Kind) -> Inherited {
        let sockets = sockets(1);
        Inherited { address: sockets[0].local_addr().unwrap(), kind, sockets }
    }

    #[test]
    fn every_worker_has_a_socket_and_every_socket_a_worker() {
        for (count, workers, expected) in
            [(2, 2, [1, 1].as_slice()), (3, 2, &[2, 1]), (1, 3, &[1, 1, 1]), (2, 5, &[1; 5])]
        {
            let shares = share(sockets(count), workers).unwrap();
            let counts: Vec<_> = shares.iter().map(Vec::len).collect();
            assert_eq!(counts, expected, "{count} sockets, {workers} workers");
        }
    }

    #[test]
    fn sockets_are_found_by_address_and_those_of_any_port_by_kind() {
        let all = || vec![inherited(Kind::Https), inherited(Kind::Http)];
        let mut given = all();
        let exact = given[1].address;
        assert!(take(&mut given, exact, Kind::Redirect).is_some());
        assert!(take(&mut given, exact, Kind::Http).is_none(), "it has been taken");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut given = all();
        let address = given[1].address;
        let taken = take(&mut given, any, Kind::Http).unwrap();
        assert_eq!(taken[0].local_addr().unwrap(), address);
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], 0));
        assert!(take(&mut given, elsewhere, Kind::Https).is_none());
    }
}
