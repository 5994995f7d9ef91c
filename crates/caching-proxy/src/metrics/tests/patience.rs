use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use crate::metrics::listener::{clients, serve_one};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
/// What lies between the two ends takes so much and no more.
const BETWEEN: usize = 64;
const LENGTH: usize = 1 << 16;

/// Serves a scraper that does this, and says how long it took.
async fn served<F: Future<Output = ()>>(scrape: impl FnOnce(DuplexStream) -> F) -> Duration {
    let (scraper, socket) = duplex(BETWEEN);
    let began = Instant::now();
    let serves = async {
        serve_one(socket, None, |_| "x".repeat(LENGTH)).await;
        began.elapsed()
    };
    tokio::join!(serves, scrape(scraper)).0
}

fn is_about(took: Duration, seconds: u64) -> bool {
    let seconds = Duration::from_secs(seconds);
    (seconds..seconds + Duration::from_millis(10)).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_has_two_seconds() {
    let took = served(async |mut scraper: DuplexStream| {
        scraper.write_all(&REQUEST[..20]).await.unwrap();
        assert_eq!(scraper.read(&mut [0]).await.unwrap(), 0);
    });
    let took = took.await;
    assert!(is_about(took, 2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_the_response_has_ten_seconds() {
    let took = served(async |mut scraper: DuplexStream| {
        scraper.write_all(REQUEST).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let mut response = Vec::new();
        scraper.read_to_end(&mut response).await.unwrap();
        assert_eq!(response.len(), BETWEEN);
    });
    let took = took.await;
    assert!(is_about(took, 10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_close_has_a_second_and_who_does_has_no_need_of_it() {
    for (closes, seconds) in [(false, 1), (true, 0)] {
        let took = served(async |mut scraper: DuplexStream| {
            scraper.write_all(REQUEST).await.unwrap();
            let mut response = Vec::new();
            scraper.read_to_end(&mut response).await.unwrap();
            assert!(response.len() > LENGTH);
            if !closes {
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        });
        let took = took.await;
        assert!(is_about(took, seconds), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_goes_on_sending_has_no_more_than_a_second_either() {
    let took = served(async |mut scraper: DuplexStream| {
        scraper.write_all(REQUEST).await.unwrap();
        scraper.read_to_end(&mut Vec::new()).await.unwrap();
        while scraper.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let took = took.await;
    assert!(is_about(took, 1), "{took:?}");
}

#[test]
fn there_are_as_many_places_as_descriptors_allow() {
    for (files, places) in [
        (None, 256),
        (Some(1 << 20), 256),
        (Some(4096), 256),
        (Some(1024), 64),
        (Some(256), 32),
        (Some(128), 32),
        (Some(100), 25),
        (Some(8), 2),
        (Some(1), 1),
    ] {
        assert_eq!(clients(files), places, "{files:?}");
    }
}
