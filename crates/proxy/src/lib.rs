//! The proxy itself: fronts, origin client, and the life of a request between them.
//!
//! The only crate that knows policy, codec, store and network. `request` lists the steps.

pub mod clock;
mod content;
mod crew;
mod descriptors;
mod draining;
mod entrance;
mod entry;
mod error;
pub mod events;
pub mod failure;
mod front;
mod handle;
mod head;
mod heartbeat;
mod http2_blocks;
mod http2_fields;
mod http2_frames;
mod ids;
mod keepalive;
mod origin;
mod outcomes;
mod proxy_status;
pub mod purge;
mod request;
mod seats;
mod server;
mod settings;
mod store_watch;
mod succession;
mod tally;
mod tls;
mod trouble;
mod untrusted;
mod worker;

pub use self::entrance::Inherited;
pub use self::entry::StoredHead;
pub use self::front::tls::HandshakeFailure;
pub use self::front::tunnel::TunnelEnd;
pub use self::handle::Handle;
pub use self::head::Scheme;
pub use self::origin::tls::{OriginTls, TlsName, TlsSetupError};
pub use self::origin::{OriginUrl, OriginUrlError, Protocol};
pub use self::outcomes::{Answered, Outcome};
pub use self::seats::ConnectionCounts;
pub use self::server::{Drained, Opened, Prepared, Running, Staffed, StartError, prepare, start};
pub use self::settings::{
    Clients, ConnectionLimits, Http2Limits, Kind, Limits, Listen, Settings, Speaks, Told,
};
pub use self::succession::{Forgotten, Heir, Legacy};
pub use self::tls::{CertificateInfo, ClientAuth, PairError, PairFiles, TlsSettings};
