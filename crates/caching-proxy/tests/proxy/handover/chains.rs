//! Several processes that still have something to do, each of which another one has taken over from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use testkit::{Binary, Client, Launch, Origin, Response};

use super::has_ended;
use crate::purging::purge;
use crate::{Proxy, millis, ok};

/// Pages with the version of now, and downloads that end when they are let.
fn site() -> (Origin, Arc<AtomicU64>, Arc<AtomicU64>) {
    let (version, ends) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    let (told, let_end) = (Arc::clone(&version), Arc::clone(&ends));
    let origin = Origin::start(move |request, conn| {
        if request.target == "/long" {
            conn.send(
                "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 8\r\n\r\nlong",
            );
            while let_end.load(Ordering::SeqCst) == 0 {
                conn.pause(millis(10));
            }
            conn.send("done");
            return;
        }
        let text = format!("version {}", told.load(Ordering::SeqCst));
        let group = r#"Cache-Groups: "g""#;
        conn.send(ok(&format!("Cache-Control: max-age=3600\r\n{group}\r\n"), &text));
    });
    (origin, version, ends)
}

/// Takes over so often that all but the last process still have a download, and a client each that
/// will ask for the page once more behind it.
fn chain(
    proxy: &mut Proxy,
    origin: &Origin,
    length: usize,
) -> (Vec<Binary>, Vec<(Client, Response)>) {
    let (mut older, mut clients) = (Vec::new(), Vec::new());
    for number in 1..=length {
        assert_eq!(page(&mut proxy.client()), "version 1");
        let mut client = proxy.client();
        client.send("GET /long HTTP/1.1\r\nHost: site.example\r\n\r\n");
        let head = client.head_to("GET").unwrap();
        assert_eq!((head.field("Connection"), downloads(origin)), (None, number));
        clients.push((client, head));
        older.push(proxy.take_over());
    }
    (older, clients)
}

fn page(client: &mut Client) -> String {
    client.send("GET /page HTTP/1.1\r\nHost: site.example\r\n\r\n");
    client.response().text()
}

fn downloads(origin: &Origin) -> usize {
    origin.requests().iter().filter(|request| request.target == "/long").count()
}

#[test]
fn what_is_purged_is_purged_in_all_that_have_downloads_left() {
    let group = ["--group", "g", "--host", "site.example"];
    for what in [&["--all"][..], &group, &["--soft", "--all"]] {
        let (origin, version, ends) = site();
        let mut proxy = Proxy::with(&origin, &["--workers", "1"]);
        let (older, clients) = chain(&mut proxy, &origin, 5);
        version.fetch_add(1, Ordering::SeqCst);
        let output = purge(&proxy, what);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        ends.store(1, Ordering::SeqCst);
        let mut answers = 0;
        for (mut client, mut long) in clients {
            let mut body = Vec::new();
            client.body_into(&mut long, &mut |bytes| body.extend_from_slice(bytes)).unwrap();
            assert_eq!(body, b"longdone");
            client.send("GET /page HTTP/1.1\r\nHost: site.example\r\n\r\n");
            // After five seconds nobody is asked once more.
            let Ok(answer) = client.try_response() else { continue };
            assert_eq!(answer.text(), "version 2", "{what:?}");
            assert_eq!(answer.field("Connection"), Some("close"));
            answers += 1;
        }
        assert!(answers > 1, "{answers}");
        older.into_iter().for_each(has_ended);
        assert_eq!(page(&mut proxy.client()), "version 2");
        proxy.terminate();
    }
}

#[test]
fn a_cache_that_is_cleared_while_another_process_takes_over_is_clear_in_both() {
    let (origin, version, _) = site();
    let mut proxy = Proxy::with(&origin, &["--workers", "1"]);
    for round in 0..6 {
        let before = page(&mut proxy.client());
        let mut kept = proxy.client();
        assert_eq!(page(&mut kept), before);
        let mut newer = proxy.launch().arg("--take-over").begin();
        std::thread::sleep(millis(round * 8));
        version.fetch_add(1, Ordering::SeqCst);
        let cleared = Launch::new(env!("CARGO_BIN_EXE_caching-proxy"))
            .arg("--clear-cache")
            .arg("--cache-dir")
            .arg(proxy.directory.path().join("cache"))
            .run();
        assert_eq!(cleared.code, Some(0), "{}", cleared.stderr);
        assert!(cleared.stdout.contains("running instance"), "{}", cleared.stdout);
        let now = format!("version {}", round + 2);
        assert_eq!(page(&mut kept), now, "round {round}");
        assert!(newer.is_ready(), "{}", newer.stderr());
        let older = proxy.binary.replace(newer).unwrap();
        has_ended(older);
        assert_eq!(page(&mut proxy.client()), now, "round {round}");
    }
    proxy.terminate();
}
