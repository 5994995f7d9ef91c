use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::*;

fn resolver() -> Arc<Resolver> {
    Resolver::new("origin.example", 80)
}

fn some() -> Arc<[SocketAddr]> {
    [SocketAddr::from(([192, 0, 2, 1], 80))].into()
}

/// A name server that answers when it is told what.
#[derive(Default)]
struct Server {
    asked: AtomicUsize,
    answers: Mutex<Vec<oneshot::Sender<Answer>>>,
}

impl Server {
    async fn of(&self, resolver: &Arc<Resolver>) -> Result<Arc<[SocketAddr]>, FetchError> {
        let ask = || {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let (answer, told) = oneshot::channel();
            self.answers.lock().unwrap().push(answer);
            async { told.await.unwrap() }
        };
        resolver.addresses_from(ask).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Says so to the look-up under way, and waits until that is noted.
    async fn says(&self, resolver: &Resolver, answer: Answer) {
        let mut ended = resolver.ended.subscribe();
        self.answers.lock().unwrap().pop().unwrap().send(answer).unwrap();
        ended.changed().await.unwrap();
    }
}

#[tokio::test]
async fn an_address_is_no_name_and_nobody_is_asked() {
    let server = Server::default();
    let resolver = Resolver::new("127.0.0.1", 80);
    assert_eq!(*server.of(&resolver).await.unwrap(), [SocketAddr::from(([127, 0, 0, 1], 80))]);
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn many_who_wait_share_one_look_up() {
    let server = Server::default();
    let resolver = resolver();
    let all =
        async { tokio::join!(server.of(&resolver), server.of(&resolver), server.of(&resolver)) };
    let (told, ()) = tokio::join!(all, server.says(&resolver, Ok(some())));
    for told in [told.0, told.1, told.2] {
        assert_eq!(told.unwrap(), some());
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever_for_a_name_server_that_says_nothing() {
    let server = Server::default();
    let resolver = resolver();
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        outcomes.push(server.of(&resolver).await);
        let waited = began.elapsed();
        assert!((PATIENCE..PATIENCE + Duration::from_millis(10)).contains(&waited), "{waited:?}");
    }
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!((error.status(), error.code()), (504, "origin-name-timeout"));
    }
    // It holds one thread, not one for each request.
    assert_eq!(server.asked(), 1);
    // What it says at last is used.
    server.says(&resolver, Ok(some())).await;
    assert_eq!(server.of(&resolver).await.unwrap(), some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_just_in_time_is_used() {
    let server = Server::default();
    let resolver = resolver();
    let says = async {
        sleep(PATIENCE.mul_f64(0.999)).await;
        server.says(&resolver, Ok(some())).await;
    };
    assert_eq!(tokio::join!(server.of(&resolver), says).0.unwrap(), some());
}

#[tokio::test]
async fn a_failure_is_shared_for_a_while() {
    let server = Server::default();
    let resolver = resolver();
    let failure = Err(io::Error::other("no such name"));
    let (told, ()) = tokio::join!(server.of(&resolver), server.says(&resolver, failure));
    for told in [told, server.of(&resolver).await] {
        let error = told.unwrap_err();
        // The very complaint, with all that it knows.
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.is::<Arc<io::Error>>(), "{source:?}");
        assert_eq!((error.status(), error.code()), (502, "origin-name-unresolved"));
        assert!(error.to_string().contains("no such name"), "{error}");
    }
    assert_eq!(server.asked(), 1);
    // Then the name server is asked again.
    resolver.state().failed.as_mut().unwrap().at -= FAILED.as_millis() as u64 + 1;
    let (told, ()) = tokio::join!(server.of(&resolver), server.says(&resolver, Ok(some())));
    assert_eq!((told.unwrap(), server.asked()), (some(), 2));
}

#[tokio::test]
async fn aged_addresses_are_used_while_they_are_renewed_and_while_that_fails() {
    let server = Server::default();
    let resolver = resolver();
    tokio::join!(server.of(&resolver), server.says(&resolver, Ok(some()))).0.unwrap();
    resolver.state().known.as_mut().unwrap().at -= FRESH.as_millis() as u64 + 1;
    for _ in 0..3 {
        assert_eq!(server.of(&resolver).await.unwrap(), some());
    }
    assert_eq!(server.asked(), 2);
    server.says(&resolver, Err(io::Error::other("no such name"))).await;
    for _ in 0..3 {
        assert_eq!(server.of(&resolver).await.unwrap(), some());
    }
    assert_eq!(server.asked(), 2);
}

#[test]
fn each_time_is_met_to_the_tick() {
    let at = 1_000_000;
    let known = Known { addresses: some(), at };
    let mut state = State { known: Some(known), ..State::default() };
    assert!(!is_older(at, FRESH, at + 30_000) && is_older(at, FRESH, at + 30_001));
    assert!(!is_older(at, FAILED, at + 1_000) && is_older(at, FAILED, at + 1_001));
    assert!(state.usable(at + 3_600_000).is_some() && state.usable(at + 3_600_001).is_none());
    assert!(state.begin(at));
    assert!(!state.begin(at + 30_000) && state.begin(at + 30_001));
    state.end(Ok(some()), at);
    assert!(state.begin(at));
}
