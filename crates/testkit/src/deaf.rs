//! An address where nobody is connected: the queue of those who wait to be accepted is full, and the
//! system leaves whoever else comes without an answer.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

/// Such an address.
#[derive(Debug)]
pub struct Deaf {
    listener: TcpListener,
    /// Who fills the queue.
    waiting: TcpStream,
}

impl Deaf {
    /// On a port of its own; `None` where the system does not do so.
    pub fn new() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            return None;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Some(Self { listener, waiting })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Who has come and who comes again is accepted from now on.
    pub fn hear(self) -> TcpListener {
        drop(self.waiting);
        drop(self.listener.accept().unwrap());
        rustix::net::listen(&self.listener, 128).unwrap();
        self.listener
    }
}
