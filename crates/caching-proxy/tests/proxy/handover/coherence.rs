//! As long as two processes serve, what one forgets the other does not know either.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::{Binary, Client, Origin, Response, eventually};

use super::has_ended;
use crate::purging::purge;
use crate::{Proxy, cache, cache_status, millis, ok};

/// A page whose content rises with each unsafe request, which takes `pause` milliseconds.
fn site(pause: u64) -> (Origin, Arc<AtomicU64>) {
    let version = Arc::new(AtomicU64::new(1));
    let told = Arc::clone(&version);
    let origin = Origin::start(move |request, conn| {
        if request.method == "POST" {
            conn.pause(millis(pause));
            told.fetch_add(1, Ordering::SeqCst);
            conn.send(ok("", "done"));
            return;
        }
        let text = format!("version {}", told.load(Ordering::SeqCst));
        conn.send(ok("Cache-Control: max-age=3600\r\nCache-Groups: \"g\"\r\n", &text));
    });
    (origin, version)
}

fn get(client: &mut Client) -> Response {
    client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    client.response()
}

fn post(client: &mut Client) {
    client.send("POST / HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx");
}

/// What a client is told by the process that serves now.
fn now(proxy: &Proxy) -> (String, String) {
    let answer = get(&mut proxy.client());
    (answer.text(), cache(&answer).to_owned())
}

fn was(text: &str, cache: &str) -> (String, String) {
    (text.to_owned(), cache.to_owned())
}

#[test]
fn what_was_stored_is_there_and_who_has_a_connection_may_ask_once_more() {
    for args in [&["--workers", "2"][..], &["--workers", "5"], &["--workers", "1"]] {
        let (origin, _) = site(0);
        let mut proxy = Proxy::with(&origin, args);
        assert_eq!(now(&proxy), was("version 1", "MISS"));
        let mut kept = proxy.client();
        assert_eq!(cache(&get(&mut kept)), "HIT");
        let mut silent = proxy.client();
        let older = proxy.take_over();
        assert_eq!(now(&proxy), was("version 1", "HIT"));
        for client in [&mut kept, &mut silent] {
            let answer = get(client);
            assert_eq!((cache(&answer), answer.field("Connection")), ("HIT", Some("close")));
            assert!(client.at_eof());
        }
        has_ended(older);
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn other_numbers_of_workers_share_the_sockets_there_are() {
    let (origin, _) = site(0);
    let mut proxy = Proxy::with(&origin, &["--workers", "3"]);
    for workers in ["1", "5", "2"] {
        proxy.args = vec!["--workers".to_owned(), workers.to_owned()];
        let older = proxy.take_over();
        let expected = if workers == "1" { "MISS" } else { "HIT" };
        assert_eq!(now(&proxy), was("version 1", expected));
        // Every socket is listened to, whichever the system picks.
        let mut clients: Vec<_> = (0..40).map(|_| proxy.client()).collect();
        assert!(clients.iter_mut().all(|client| cache(&get(client)) == "HIT"));
        has_ended(older);
    }
}

#[test]
fn a_purge_holds_in_the_older_process_too() {
    let (origin, version) = site(0);
    for (number, what) in
        [&["--all"][..], &["--group", "g", "--host", "site.example"]].into_iter().enumerate()
    {
        let mut proxy = Proxy::before(&origin);
        let first = now(&proxy).0;
        let mut kept = proxy.client();
        assert_eq!(get(&mut kept).text(), first);
        let older = proxy.take_over();
        version.fetch_add(1, Ordering::SeqCst);
        let output = purge(&proxy, what);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let answer = get(&mut kept);
        let second = format!("version {}", number + 2);
        assert_eq!((answer.text(), cache(&answer)), (second.clone(), "MISS"));
        assert_eq!(now(&proxy).0, second);
        has_ended(older);
        proxy.terminate();
        proxy.start();
        assert_eq!(now(&proxy), (second, "HIT".to_owned()), "what came since is kept");
    }
}

#[test]
fn an_unsafe_request_holds_in_the_other_process_whichever_gets_it() {
    let (origin, _) = site(0);
    let mut proxy = Proxy::before(&origin);
    assert_eq!(now(&proxy), was("version 1", "MISS"));
    let (mut kept, mut other) = (proxy.client(), proxy.client());
    get(&mut kept);
    get(&mut other);
    let older = proxy.take_over();
    assert_eq!(now(&proxy), was("version 1", "HIT"));
    post(&mut kept);
    assert_eq!(kept.response().text(), "done");
    assert_eq!(now(&proxy), was("version 2", "MISS"));
    let mut newer = proxy.client();
    post(&mut newer);
    assert_eq!(newer.response().text(), "done");
    assert_eq!(get(&mut other).text(), "version 3");
    has_ended(older);
}

#[test]
fn an_unsafe_request_that_is_under_way_meanwhile_holds_too() {
    let (origin, version) = site(900);
    let mut proxy = Proxy::before(&origin);
    assert_eq!(now(&proxy), was("version 1", "MISS"));
    let mut kept = proxy.client();
    post(&mut kept);
    assert!(eventually(|| origin.count() == 2));
    let older = proxy.take_over();
    assert_eq!(now(&proxy), was("version 1", "HIT"));
    assert_eq!(version.load(Ordering::SeqCst), 1, "it is under way");
    assert_eq!(kept.response().text(), "done");
    assert_eq!(now(&proxy), was("version 2", "MISS"));
    has_ended(older);
    // On disk as well.
    proxy.kill9();
    proxy.start();
    assert_eq!(now(&proxy).0, "version 2");
}

#[test]
fn what_an_unsafe_request_without_an_answer_leaves_in_doubt_is_in_doubt_in_both() {
    for leaves_before in [true, false] {
        let (origin, _) = site(2_000);
        let mut proxy = Proxy::before(&origin);
        assert_eq!(now(&proxy), was("version 1", "MISS"));
        let mut leaver = proxy.client();
        post(&mut leaver);
        assert!(eventually(|| origin.count() == 2));
        let mut leaver = Some(leaver);
        if leaves_before {
            leaver.take().unwrap().reset();
            assert!(eventually(|| now(&proxy).1 == "MISS"));
        }
        let older = proxy.take_over();
        if let Some(leaver) = leaver {
            assert_eq!(now(&proxy), was("version 1", "HIT"));
            leaver.reset();
        }
        assert!(eventually(|| now(&proxy).1 == "MISS"));
        let answer = get(&mut proxy.client());
        assert!(cache_status(&answer).contains("invalidated"), "{}", cache_status(&answer));
        assert_eq!(cache(&answer), "MISS", "nothing is stored while the origin may act");
        has_ended(older);
    }
}

#[test]
fn a_group_that_an_unsafe_request_ends_is_ended_in_all() {
    for newest in [true, false] {
        let version = Arc::new(AtomicU64::new(1));
        let told = Arc::clone(&version);
        let origin = Origin::start(move |request, conn| {
            if request.method == "POST" {
                told.fetch_add(1, Ordering::SeqCst);
                conn.send(ok("Cache-Group-Invalidation: \"g\"\r\n", "done"));
                return;
            }
            let text = format!("version {}", told.load(Ordering::SeqCst));
            conn.send(ok("Cache-Control: max-age=3600\r\nCache-Groups: \"g\"\r\n", &text));
        });
        let mut proxy = Proxy::before(&origin);
        let (mut kept, mut older) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let mut clients = (proxy.client(), proxy.client());
            assert_eq!(get(&mut clients.0).text(), "version 1");
            get(&mut clients.1);
            kept.push(clients);
            older.push(proxy.take_over());
        }
        assert_eq!(now(&proxy), was("version 1", "HIT"));
        let mut asks = if newest { proxy.client() } else { kept.remove(1).0 };
        asks.send("POST /other HTTP/1.1\r\nHost: site.example\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(asks.response().text(), "done");
        assert_eq!(now(&proxy), was("version 2", "MISS"));
        for (_, client) in &mut kept {
            assert_eq!(get(client).text(), "version 2", "{newest}");
        }
        older.into_iter().for_each(has_ended);
    }
}

#[test]
fn what_nobody_could_be_told_is_known_to_the_next_one_that_starts() {
    let (origin, _) = site(500);
    let mut proxy = Proxy::before(&origin);
    assert_eq!(now(&proxy), was("version 1", "MISS"));
    let mut kept = proxy.client();
    post(&mut kept);
    assert!(eventually(|| origin.count() == 2));
    let older = proxy.take_over();
    proxy.kill9();
    // It waits for whoever serves next, and not for ever.
    assert_eq!(kept.response().text(), "done");
    proxy.start();
    assert!(eventually(|| crate::count(&proxy, "store.segments_to_recover") == 0));
    assert_eq!(now(&proxy), was("version 2", "MISS"));
    assert_eq!(now(&proxy), was("version 2", "HIT"));
    has_ended(older);
}

#[test]
fn a_chain_of_processes_keeps_nothing_that_the_last_one_has_forgotten() {
    let (origin, _) = site(0);
    let mut proxy = Proxy::before(&origin);
    assert_eq!(now(&proxy), was("version 1", "MISS"));
    let mut kept: Vec<(Client, Client)> = Vec::new();
    let mut older: Vec<Binary> = Vec::new();
    for _ in 0..3 {
        let mut clients = (proxy.client(), proxy.client());
        get(&mut clients.0);
        get(&mut clients.1);
        kept.push(clients);
        older.push(proxy.take_over());
    }
    assert_eq!(now(&proxy), was("version 1", "HIT"));
    // The first one tells the last one...
    post(&mut kept[0].0);
    assert_eq!(kept[0].0.response().text(), "done");
    assert_eq!(now(&proxy), was("version 2", "MISS"));
    // ...and the last one tells all others.
    let mut last = proxy.client();
    post(&mut last);
    assert_eq!(last.response().text(), "done");
    for (_, client) in &mut kept {
        assert_eq!(get(client).text(), "version 3");
    }
    older.into_iter().for_each(has_ended);
}
