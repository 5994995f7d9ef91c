//! QUERY against the real binary, on disk.

use testkit::{Origin, Response};

use crate::{Proxy, cache, cache_status, ok};

fn send(proxy: &Proxy, method: &str, content: &str) -> Response {
    let mut client = proxy.client();
    let length = content.len();
    client.send(format!(
        "{method} /q HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{content}"
    ));
    client.response()
}

fn told(proxy: &Proxy, content: &str) -> (String, String) {
    let response = send(proxy, "QUERY", content);
    (cache(&response).to_owned(), response.text())
}

fn echoing() -> Origin {
    Origin::start(|request, conn| {
        let asked = String::from_utf8_lossy(&request.body);
        conn.send(ok("Cache-Control: max-age=600\r\n", &format!("answer to {asked}")));
    })
}

#[test]
fn queries_survive_a_restart_and_their_invalidation_does_too() {
    let origin = echoing();
    let mut proxy = Proxy::before(&origin);
    let expect = |cache: &str, asked: &str| (cache.to_owned(), format!("answer to {asked}"));
    assert_eq!(told(&proxy, "[1]"), expect("MISS", "[1]"));
    assert_eq!(told(&proxy, "[2]"), expect("MISS", "[2]"));
    proxy.terminate();
    proxy.start();
    assert_eq!(told(&proxy, "[ 2 ]"), expect("HIT", "[2]"));
    assert_eq!(told(&proxy, "[ 1 ]"), expect("HIT", "[1]"));
    assert_eq!(told(&proxy, "[3]"), expect("MISS", "[3]"));
    assert_eq!(send(&proxy, "DELETE", "").status, 200);
    proxy.terminate();
    proxy.start();
    for asked in ["[1]", "[2]", "[3]"] {
        assert_eq!(told(&proxy, asked), expect("MISS", asked));
    }
}

#[test]
fn the_option_says_how_much_content_is_read() {
    let origin = echoing();
    let proxy = Proxy::with(&origin, &["--query-content", "8"]);
    assert_eq!(told(&proxy, "12345678").0, "MISS");
    assert_eq!(told(&proxy, "12345678").0, "HIT");
    for _ in 0..2 {
        let passed = send(&proxy, "QUERY", "123456789");
        assert_eq!((cache(&passed), passed.text()), ("MISS", "answer to 123456789".to_owned()));
        let status = cache_status(&passed);
        assert_eq!(status, "fwd=bypass; fwd-status=200; detail=query-content-too-large");
    }
    let proxy = Proxy::with(&origin, &["--query-content", "0"]);
    for _ in 0..2 {
        let passed = send(&proxy, "QUERY", "1");
        let status = cache_status(&passed);
        assert_eq!(status, "fwd=method; fwd-status=200; detail=method-not-cacheable");
    }
}
