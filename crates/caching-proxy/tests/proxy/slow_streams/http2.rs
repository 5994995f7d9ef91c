//! The same by HTTP/2: a few connections with many bodies on each, or many with one.

use std::collections::HashMap;
use std::sync::Mutex;

use testkit::frames::{Frame, PREFACE, flag, kind};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::*;

/// Connections with many bodies.
pub(super) const LINES: usize = 50;
/// Bodies in each direction on each of them.
const STREAMS: u32 = (EACH / LINES) as u32;
/// What a stream may send before it has been told more, on both sides.
const FIRST_WINDOW: i64 = 65_535;
/// The widest that there is.
const WIDEST: u32 = (1 << 31) - 1;
/// What a piece of content has.
const PIECE: usize = 16 << 10;

/// What may be sent.
struct Windows {
    connection: i64,
    /// Of streams that upload.
    streams: HashMap<u32, i64>,
}

/// One connection.
struct Line<S> {
    windows: Mutex<Windows>,
    opened: Notify,
    out: tokio::sync::Mutex<WriteHalf<S>>,
    scheme: &'static str,
    all: Arc<Progress>,
}

/// GETs have the streams 1, 5, 9…, PUTs 3, 7, 11….
fn streams(upload: bool) -> impl Iterator<Item = u32> {
    (0..STREAMS).map(move |number| number * 4 + if upload { 3 } else { 1 })
}

fn window(stream: u32, by: u32) -> Frame {
    Frame::new(kind::WINDOW_UPDATE, 0, stream).with(by.to_be_bytes())
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    async fn send(&self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let _ = self.out.lock().await.write_all(&bytes).await;
    }

    /// Asks for downloads and begins uploads.
    async fn begin(&self, number: usize, settings: &[u8], streams: impl Iterator<Item = u32>) {
        let mut frames = vec![Frame::new(kind::SETTINGS, 0, 0).with(settings)];
        for stream in streams {
            let is_upload = stream % 4 == 3;
            let path = format!("/{number}/{stream}");
            let method = if is_upload { "PUT" } else { "GET" };
            let pseudo = [":method", ":scheme", ":authority", ":path"];
            let head: Vec<_> = pseudo.into_iter().zip([method, self.scheme, "a", &path]).collect();
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

    /// Takes what comes, up to a frame of the kind `last`.
    async fn take(&self, from: &mut ReadHalf<S>, last: Option<u8>) {
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
            if Some(frame.kind) == last {
                return;
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

/// One connection.
pub(super) async fn line<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    number: usize,
    by: By,
    scheme: &'static str,
    told: watch::Receiver<u32>,
    all: Arc<Progress>,
) {
    let (from, out) = tokio::io::split(stream);
    let uploads = if by == By::Streams { streams(true).collect() } else { vec![3] };
    let windows = uploads.into_iter().map(|stream| (stream, FIRST_WINDOW)).collect();
    let line = Line {
        windows: Mutex::new(Windows { connection: FIRST_WINDOW, streams: windows }),
        opened: Notify::new(),
        out: tokio::sync::Mutex::new(out),
        scheme,
        all,
    };
    match by {
        By::Streams => line.share(number, from, told).await,
        _ if number.is_multiple_of(2) => line.download(number, from, told).await,
        _ => line.upload(number, from).await,
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Many bodies, whose windows are opened a little each time that it is told to.
    async fn share(&self, number: usize, mut from: ReadHalf<S>, mut told: watch::Receiver<u32>) {
        let all = streams(false).zip(streams(true)).flat_map(<[u32; 2]>::from);
        self.begin(number, &[], all).await;
        let sip = async {
            while told.changed().await.is_ok() {
                let each = streams(false).map(|stream| window(stream, SIP as u32));
                let all = [window(0, SIP as u32 * STREAMS)].into_iter().chain(each);
                self.send(&all.collect::<Vec<_>>()).await;
            }
        };
        tokio::join!(self.take(&mut from, None), self.pour(), sip);
    }

    /// One that may come as fast as it can, and is taken slowly.
    async fn download(&self, number: usize, mut from: ReadHalf<S>, told: watch::Receiver<u32>) {
        let settings = [&[0, 4][..], &WIDEST.to_be_bytes()].concat();
        self.begin(number, &settings, std::iter::once(1)).await;
        self.send(&[window(0, WIDEST - FIRST_WINDOW as u32)]).await;
        self.take(&mut from, Some(kind::HEADERS)).await;
        sip(&mut from, told).await;
    }

    async fn upload(&self, number: usize, mut from: ReadHalf<S>) {
        self.begin(number, &[], std::iter::once(3)).await;
        tokio::join!(self.take(&mut from, None), self.pour());
    }
}
