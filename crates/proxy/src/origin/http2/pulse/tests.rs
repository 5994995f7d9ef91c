use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::server::{self, SendResponse};
use tokio::io::DuplexStream;

use super::*;

/// A frame of PING.
const PING: u64 = 9 + 8;

/// Both ends of a connection, on a clock that stands still unless everybody waits.
struct Both {
    client: SendRequest<Bytes>,
    used: Arc<AtomicUsize>,
    origin: server::Connection<Heard<DuplexStream>, Bytes>,
    /// Bytes that the origin got.
    got: Arc<AtomicU64>,
    began: Instant,
}

impl Both {
    /// A connection that has been greeted, and a request on it.
    async fn with_a_request() -> (Self, client::ResponseFuture, SendResponse<Bytes>) {
        let (near, far) = tokio::io::duplex(64 << 10);
        let (used, limits) = (Arc::new(AtomicUsize::new(1)), Limits::default());
        let (pulse, near) = Pulse::of(near, &used, &limits);
        let (other, far) = Pulse::of(far, &used, &limits);
        let (near, far) = tokio::join!(client::handshake(near), server::handshake(far));
        let ((client, mut connection), mut origin) = (near.unwrap(), far.unwrap());
        let pings = connection.ping_pong();
        tokio::spawn(pulse.keep(connection, pings));
        let mut client = client.ready().await.unwrap();
        let (response, _) = client.send_request(http::Request::new(()), true).unwrap();
        let (_, respond) = origin.accept().await.unwrap().unwrap();
        let both = Self { client, used, origin, got: other.heard, began: Instant::now() };
        (both, response, respond)
    }

    fn pings(&self, since: u64) -> u64 {
        (self.got.load(Ordering::Relaxed) - since) / PING
    }

    fn passed(&self) -> Duration {
        self.began.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_says_nothing_more_is_given_up() {
    let (both, response, _respond) = Both::with_a_request().await;
    let limits = Limits::default();
    // Nobody is there to read.
    let error = response.await.unwrap_err();
    assert!(error.is_io(), "{error}");
    let limit = limits.origin_ping + limits.origin_pong;
    // The silence begins somewhere between two looks.
    assert!((limit..=limit + limits.origin_ping).contains(&both.passed()), "{:?}", both.passed());
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_takes_its_time_is_waited_for_and_not_pinged_too_often() {
    let (mut both, response, mut respond) = Both::with_a_request().await;
    let before = both.got.load(Ordering::Relaxed);
    let slow = Duration::from_mins(10);
    let answer = async {
        sleep(slow).await;
        respond.send_response(http::Response::new(()), true).unwrap();
    };
    let origin = async {
        // Its codec goes on.
        let next = both.origin.accept();
        tokio::select! {
            _ = next => panic!("nothing else is asked"),
            head = response => head.unwrap(),
        }
    };
    let ((), head) = tokio::join!(answer, origin);
    assert_eq!(head.status(), 200);
    assert!(both.passed() >= slow);
    // The last of them after six minutes.
    assert_eq!(both.pings(before), u64::from(IN_A_ROW) + 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nobody_waits_is_left_alone() {
    let (mut both, response, mut respond) = Both::with_a_request().await;
    respond.send_response(http::Response::new(()), true).unwrap();
    let answered = async {
        tokio::select! {
            _ = both.origin.accept() => panic!("nothing else is asked"),
            head = response => head.unwrap(),
        }
    };
    assert_eq!(answered.await.status(), 200);
    both.used.store(0, Ordering::Relaxed);
    let before = both.got.load(Ordering::Relaxed);
    // Its origin hangs, and nobody cares...
    sleep(Duration::from_mins(1)).await;
    assert_eq!(both.pings(before), 0);
    // ...until there is a request for it.
    both.used.store(1, Ordering::Relaxed);
    let since = Instant::now();
    let (response, _) = both.client.send_request(http::Request::new(()), true).unwrap();
    assert!(response.await.unwrap_err().is_io());
    let limits = Limits::default();
    assert!(since.elapsed() <= limits.origin_ping + limits.origin_pong + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_origin_says_is_a_sign_of_life() {
    let (mut both, response, mut respond) = Both::with_a_request().await;
    let before = both.got.load(Ordering::Relaxed);
    let mut send = respond.send_response(http::Response::new(()), false).unwrap();
    let limit = Limits::default().origin_ping;
    let origin = async {
        for _ in 0..20 {
            sleep(limit.mul_f32(0.4)).await;
            send.send_data(Bytes::from_static(b"."), false).unwrap();
        }
        send.send_data(Bytes::new(), true).unwrap();
    };
    let client = async {
        let mut body = response.await.unwrap().into_body();
        let mut count = 0;
        while let Some(data) = body.data().await {
            count += data.unwrap().len();
        }
        count
    };
    let accept = both.origin.accept();
    let count = tokio::select! {
        _ = accept => panic!("nothing else is asked"),
        ((), count) = async { tokio::join!(origin, client) } => count,
    };
    assert_eq!(count, 20);
    assert_eq!(both.pings(before), 0);
}
