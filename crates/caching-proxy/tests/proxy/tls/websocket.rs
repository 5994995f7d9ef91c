//! WebSocket (RFC 6455) through the binary, with and without TLS on either side.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use testkit::{Binary, Launch, PATIENCE};

use super::{Authority, Files, Secured, port_of, provider};

/// The nonce of RFC 6455 §1.3, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What carries a connection.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn head(stream: &mut dyn Stream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// One frame; those of clients are masked.
fn frame(kind: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x80 | kind];
    match payload.len() {
        length @ 0..126 => frame.push(masked | length as u8),
        length @ 126..65_536 => {
            frame.push(masked | 0x7e);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(masked | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads one frame: its kind, and its payload without the mask.
fn read_frame(stream: &mut dyn Stream) -> io::Result<(u8, Vec<u8>, bool)> {
    let mut start = [0; 2];
    stream.read_exact(&mut start)?;
    let masked = start[1] & 0x80 != 0;
    let mut read = |count: usize| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        stream.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let number = |bytes: Vec<u8>| bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let length = match start[1] & 0x7f {
        126 => number(read(2)?),
        127 => number(read(8)?),
        length => usize::from(length),
    };
    let mask = if masked { read(4)? } else { vec![0; 4] };
    let payload = read(length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Ok((start[0] & 0x0f, payload.collect(), masked))
}

/// A WebSocket server: says each message once more, answers pings, and closes when asked to.
fn serve(stream: &mut dyn Stream) -> io::Result<()> {
    let asked = head(stream)?.to_ascii_lowercase();
    for line in
        ["get /chat http/1.1\r\n", "\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n"]
    {
        assert!(asked.contains(line), "{line:?} is not in {asked}");
    }
    assert!(asked.contains(&format!("\r\nsec-websocket-key: {}\r\n", KEY.to_ascii_lowercase())));
    write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
    )?;
    // Its first word comes behind the head at once.
    stream.write_all(&frame(TEXT, b"welcome", None))?;
    stream.flush()?;
    loop {
        let (kind, payload, masked) = read_frame(stream)?;
        assert!(masked, "clients mask what they send");
        let kind = if kind == PING { PONG } else { kind };
        stream.write_all(&frame(kind, &payload, None))?;
        stream.flush()?;
        if kind == CLOSE {
            return Ok(());
        }
    }
}

/// A conversation over a new connection to the proxy.
fn talk(stream: &mut dyn Stream) {
    write!(
        stream,
        "GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
         Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    stream.flush().unwrap();
    let answer = head(stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.contains(&format!("\r\nSec-WebSocket-Accept: {ACCEPT}\r\n")), "{answer}");
    assert_eq!(read_frame(stream).unwrap(), (TEXT, b"welcome".to_vec(), false));
    let large: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
    for (kind, payload, expected) in [
        (TEXT, &b"hello"[..], TEXT),
        (BINARY, &[], BINARY),
        (BINARY, &large[..200], BINARY),
        (PING, b"?", PONG),
        (BINARY, &large, BINARY),
        (CLOSE, &[3, 232], CLOSE),
    ] {
        stream.write_all(&frame(kind, payload, Some([7, 99, 0, 200]))).unwrap();
        stream.flush().unwrap();
        assert_eq!(read_frame(stream).unwrap(), (expected, payload.to_vec(), false));
    }
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server's end is an orderly one");
}

/// Starts the server; inside TLS it would also speak HTTP/2.
fn start(files: Option<&Files>) -> u16 {
    let config = files.map(|files| {
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(files.chain(), key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            match config.clone() {
                None => drop(serve(&mut stream)),
                Some(config) => {
                    let session = ServerConnection::new(config).unwrap();
                    let mut stream = StreamOwned::new(session, stream);
                    drop(serve(&mut stream));
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        }
    });
    port
}

/// A proxy with both ports before such a server.
fn proxy(authority: &Authority, directory: &TempDir, tls_origin: bool) -> Binary {
    let files = authority.issue("both", &["a.example", "localhost"]);
    let scheme = if tls_origin { "https" } else { "http" };
    let origin = format!("{scheme}://localhost:{}", start(tls_origin.then_some(&files)));
    let launch = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
        .args(["--port", "0", "--tls-port", "0", "--log", "requests", "--origin", &origin])
        .args(files.args())
        .arg("--cache-dir")
        .arg(directory.path().join("cache"));
    let launch = if tls_origin { launch.arg("--origin-ca").arg(authority.file()) } else { launch };
    launch.start()
}

#[test]
fn a_conversation_by_websocket_goes_through_with_tls_on_either_side() {
    let authority = Authority::new();
    for tls_origin in [false, true] {
        let directory = TempDir::new().unwrap();
        let binary = proxy(&authority, &directory, tls_origin);
        let mut plain = TcpStream::connect(("127.0.0.1", binary.port())).unwrap();
        plain.set_read_timeout(Some(PATIENCE)).unwrap();
        talk(&mut plain);
        drop(plain);
        assert!(binary.says(r#""end":"tunnel-closed""#), "{}", binary.stderr());
        let port = port_of(&binary.ready("tls_url").unwrap());
        let Secured(mut secure) = Secured::connect(port, "a.example", &authority.client()).unwrap();
        talk(&mut secure);
        secure.conn.send_close_notify();
        let _ = secure.flush();
        drop(secure);
        let ends = || binary.stderr().matches(r#""end":"tunnel-closed""#).count();
        assert!(testkit::eventually(|| ends() == 2), "{}", binary.stderr());
        let line = binary.stderr();
        let line = line.lines().find(|line| line.contains("/chat")).unwrap();
        for member in [r#""reason":"upgrade""#, r#""status":101"#, r#""received_bytes":300"#] {
            assert!(line.contains(member), "{member} is not in {line}");
        }
        assert_eq!(Binary::terminate(binary).code(), Some(0));
    }
}
