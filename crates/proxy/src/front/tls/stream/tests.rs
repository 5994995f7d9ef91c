use std::future::poll_fn;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::*;
use crate::tls::provider;

/// Both ends of a connection, and what the client wrote before the proxy had a look at it.
async fn connected(ahead: &[u8]) -> (TlsStream, client::TlsStream<TcpStream>) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let name = ServerName::try_from("a.example").unwrap();
    let connects = async {
        let connector = TlsConnector::from(Arc::new(client));
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(ahead).await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let accepts = async {
        let greeting = Greeting::new(listener.accept().await.unwrap().0);
        TlsAcceptor::from(Arc::new(server)).accept(greeting).await.unwrap().into_inner()
    };
    let (client, (greeted, session)) = tokio::join!(connects, accepts);
    (TlsStream::new(greeted, session), client)
}

#[tokio::test]
async fn who_did_not_take_all_gets_one_record_and_then_more_until_it_does_so_again() {
    let (mut stream, mut client) = connected(b"").await;
    let (_, mut writer) = stream.split();
    let content = vec![b'x'; 4 * MOST];
    let mut write = async |waits: bool| {
        let parts = [IoSlice::new(&content)];
        poll_fn(|cx| match writer.poll_write(cx, &parts) {
            Poll::Pending if !waits => Poll::Ready(None),
            taken => taken.map(|taken| Some(taken.unwrap())),
        })
        .await
    };
    // Nobody reads: it is taken until there is something left, and then nothing at all.
    let mut before = 0;
    while let Some(taken) = write(false).await {
        assert_eq!(taken, MOST);
        before += taken;
    }
    let reads = tokio::spawn(async move {
        let mut buf = vec![0; 1 << 20];
        let mut read = 0;
        while let Ok(count) = client.read(&mut buf).await
            && count > 0
        {
            read += count;
        }
        read
    });
    let mut taken = vec![write(true).await.unwrap()];
    while taken.last() != Some(&MOST) {
        taken.push(write(true).await.unwrap());
    }
    assert_eq!(taken.first(), Some(&LEAST));
    assert!(taken.windows(2).all(|two| two[1] == LEAST || two[1] == 2 * two[0]), "{taken:?}");
    poll_fn(|cx| writer.poll_shut_down(cx)).await.unwrap();
    assert_eq!(reads.await.unwrap(), before + taken.iter().sum::<usize>());
}

#[tokio::test]
async fn no_more_is_read_than_ends_a_record_unless_it_is_wanted_soon() {
    for much in [false, true] {
        // The first record may come together with the end of the handshake.
        let (mut stream, mut client) = connected(&[b'x'; 10_000]).await;
        let content = vec![b'x'; 1 << 20];
        let writes = tokio::spawn(async move {
            client.write_all(&content).await.unwrap();
            client.flush().await.unwrap();
            client
        });
        let (mut reader, _) = stream.split();
        reader.read_much(much);
        let (mut read, mut reads, mut between) = (0, 0, 0);
        while read < 10_000 + (1 << 20) {
            let mut buf = BytesMut::new();
            read += poll_fn(|cx| reader.poll_read(cx, &mut buf)).await.unwrap();
            reads += 1;
            between += usize::from(reader.session.lock().records.left().is_none());
        }
        assert_eq!(between < reads, much, "{between} of {reads}");
        drop(writes.await.unwrap());
    }
}
