//! The same by HTTP/2: a few connections with many bodies on each.

use std::collections::HashMap;
use std::sync::Mutex;

use testkit::frames::{Frame, PREFACE, flag, kind};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::*;

/// Connections.
pub(super) const LINES: usize = 50;
/// Bodies in each direction on each of them.
const STREAMS: u32 = (EACH / LINES) as u32;
/// What a stream may send before it has been told more, on both sides.
const FIRST_WINDOW: i64 = 65_535;
/// What a piece of content has.
const PIECE: usize = 16 << 10;

/// What may be sent.
struct Windows {
    connection: i64,
    /// Of streams that upload.
    streams: HashMap<u32, i64>,
}

/// One connection.
struct Line {
    windows: Mutex<Windows>,
    opened: Notify,
    out: tokio::sync::Mutex<OwnedWriteHalf>,
    all: Arc<Progress>,
}

/// GETs have the streams 1, 5, 9…, PUTs 3, 7, 11….
fn streams(upload: bool) -> impl Iterator<Item = u32> {
    (0..STREAMS).map(move |number| number * 4 + if upload { 3 } else { 1 })
}

impl Line {
    async fn send(&self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let _ = self.out.lock().await.write_all(&bytes).await;
    }

    /// Asks for all downloads and begins all uploads.
    async fn begin(&self, number: usize) {
        let mut frames = vec![Frame::new(kind::SETTINGS, 0, 0)];
        for stream in streams(false).zip(streams(true)).flat_map(<[u32; 2]>::from) {
            let is_upload = stream % 4 == 3;
            let path = format!("/{number}/{stream}");
            let method = if is_upload { "PUT" } else { "GET" };
            let pseudo = [":method", ":scheme", ":authority", ":path"];
            let head: Vec<_> = pseudo.into_iter().zip([method, "http", "a", &path]).collect();
            frames.push(Frame::headers(stream, !is_upload, &head));
        }
        self.out.lock().await.write_all(PREFACE).await.unwrap();
        self.send(&frames).await;
    }

    /// The stream that may send most, and how much.
    fn next(&self) -> Option<(u32, usize)> {
        let mut windows = self.windows.lock().unwrap();
        let (&stream, &window) = windows.streams.iter().max_by_key(|(_, window)| **window)?;
        let most = window.min(windows.connection).min(PIECE as i64);
        if most <= 0 {
            return None;
        }
        windows.connection -= most;
        *windows.streams.get_mut(&stream)? -= most;
        Some((stream, most as usize))
    }

    /// Sends as fast as it may.
    async fn pour(&self) {
        loop {
            let opened = self.opened.notified();
            match self.next() {
                Some((stream, most)) => {
                    self.send(&[Frame::new(kind::DATA, 0, stream).with(vec![b'x'; most])]).await;
                    self.all.sent.fetch_add(most as u64, Ordering::Relaxed);
                }
                None => opened.await,
            }
        }
    }

    /// Takes what comes, which is as much as has been asked for.
    async fn take(&self, mut from: OwnedReadHalf) {
        loop {
            let mut head = [0; 9];
            from.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let mut payload = vec![0; length];
            from.read_exact(&mut payload).await.unwrap();
            let frame = Frame::new(head[3], head[4], stream).with(payload);
            match frame.kind {
                kind::DATA | kind::HEADERS if frame.flags & flag::END_STREAM != 0 => {
                    self.all.ended.fetch_add(1, Ordering::Relaxed);
                }
                kind::SETTINGS if frame.flags & flag::ACK == 0 => {
                    self.agree(&frame.payload);
                    self.send(&[Frame::new(kind::SETTINGS, flag::ACK, 0)]).await;
                }
                kind::WINDOW_UPDATE => self.open(stream, i64::from(frame.number_at(0))),
                kind::RST_STREAM | kind::GOAWAY => panic!("{frame:?}"),
                _ => {}
            }
        }
    }

    fn agree(&self, settings: &[u8]) {
        let window = settings.chunks(6).find(|setting| setting[..2] == [0, 4]);
        let Some(window) = window else { return };
        let by = i64::from(u32::from_be_bytes(window[2..].try_into().unwrap())) - FIRST_WINDOW;
        let mut windows = self.windows.lock().unwrap();
        windows.streams.values_mut().for_each(|window| *window += by);
        self.opened.notify_waiters();
    }

    fn open(&self, stream: u32, by: i64) {
        let mut windows = self.windows.lock().unwrap();
        match windows.streams.get_mut(&stream) {
            Some(window) => *window += by,
            None => windows.connection += by,
        }
        self.opened.notify_waiters();
    }
}

/// One connection, which opens its windows a little each time that it is told to.
pub(super) async fn line(
    proxy: SocketAddr,
    number: usize,
    mut told: watch::Receiver<u32>,
    all: Arc<Progress>,
) {
    let stream = TcpStream::connect(proxy).await.unwrap();
    narrow(&stream);
    let (from, out) = stream.into_split();
    let windows = streams(true).map(|stream| (stream, FIRST_WINDOW)).collect();
    let line = Line {
        windows: Mutex::new(Windows { connection: FIRST_WINDOW, streams: windows }),
        opened: Notify::new(),
        out: tokio::sync::Mutex::new(out),
        all,
    };
    line.begin(number).await;
    let sip = async {
        while told.changed().await.is_ok() {
            let window =
                |stream, by: u32| Frame::new(kind::WINDOW_UPDATE, 0, stream).with(by.to_be_bytes());
            let each = streams(false).map(|stream| window(stream, SIP as u32));
            let all = [window(0, SIP as u32 * STREAMS)].into_iter().chain(each);
            line.send(&all.collect::<Vec<_>>()).await;
        }
    };
    tokio::join!(line.take(from), line.pour(), sip);
}
