//! Ranges of what is on its way: who waits for it, and who does not.

use super::*;

#[test]
fn a_fill_under_way_serves_ranges_that_it_reaches_soon() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let length = 4 << 20;
    let origin = Origin::start(move |request, conn| {
        if let Some(range) = request.field("Range") {
            let range = range.replace('=', " ");
            conn.send(format!(
                "HTTP/1.1 206 P\r\nContent-Range: {range}/{length}\r\nContent-Length: 2\r\n\r\nxy"
            ));
            return;
        }
        conn.send(format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=9\r\nContent-Length: {length}\r\n\r\n"
        ));
        conn.send(vec![b'a'; 1 << 20]);
        wait.lock().unwrap().recv().unwrap();
        conn.send(vec![b'b'; length - (1 << 20)]);
    });
    let site = site(&origin);
    let mut client = Client::connect(site.running.local_addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head_to("GET").unwrap();
    assert_eq!(head.status, 200);
    let range = |range: &str| {
        let mut client = Client::connect(site.running.local_addr());
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n"));
        client
    };
    assert_eq!(range("10-19").response().text(), "aaaaaaaaaa");
    assert_eq!(origin.count(), 1);
    // Too far behind what has arrived: the origin has it at once.
    assert_eq!(range("4194302-4194303").response().text(), "xy");
    assert_eq!(origin.count(), 2);
    // Soon enough: it waits.
    let mut near = range("1048574-1048577");
    let head = near.head_to("GET").unwrap();
    assert_eq!(head.field("Content-Range"), Some("bytes 1048574-1048577/4194304"));
    go.send(()).unwrap();
    let (mut head, mut body) = (head, Vec::new());
    near.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
    assert_eq!(body, b"aabb");
    assert_eq!(origin.count(), 2);
}

#[test]
fn one_part_that_many_want_in_different_words_is_stored_once() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_, conn| {
        conn.send(
            "HTTP/1.1 206 P\r\nCache-Control: max-age=9\r\nContent-Range: bytes 5-8/9\r\n\
             Content-Length: 4\r\n\r\nab",
        );
        wait.lock().unwrap().recv().unwrap();
        conn.send("cd");
    });
    let site = site(&origin);
    let ask = |range: &str| {
        let mut client = Client::connect(site.running.local_addr());
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n"));
        let head = client.head_to("GET").unwrap();
        (client, head)
    };
    let both = [ask("5-8"), ask("-4")];
    go.send(()).unwrap();
    go.send(()).unwrap();
    let told = both.map(|(mut client, mut head)| {
        let mut body = Vec::new();
        client.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
        assert_eq!((head.status, body), (206, b"abcd".to_vec()));
        head.field("Cache-Status").unwrap().to_owned()
    });
    assert!(told[0].contains("stored"), "{told:?}");
    assert!(told[1].ends_with("detail=part-under-way"), "{told:?}");
    assert!(testkit::eventually(|| ask("5-8").1.field("X-Cache") == Some("HIT")));
}

/// Answers each range when it is told to go on: the head and two bytes, and when it is told again the
/// rest.
fn stepwise(fields: &'static str, steps: std::sync::mpsc::Receiver<()>) -> Origin {
    let (steps, count) = (Mutex::new(steps), AtomicUsize::new(0));
    Origin::start(move |request, conn| {
        if request.method == "POST" {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            return;
        }
        let wait = || steps.lock().unwrap().recv().unwrap();
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        let (first, last) =
            request.field("Range").unwrap().trim_start_matches("bytes=").split_once('-').unwrap();
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        wait();
        conn.send(format!(
            "HTTP/1.1 206 Partial Content\r\n{fields}X-Number: {number}\r\n\
             Content-Range: bytes {first}-{last}/10\r\nContent-Length: {}\r\n\r\n{}",
            last + 1 - first,
            &DIGITS[first..first + 2]
        ));
        wait();
        conn.send(&DIGITS[first + 2..=last]);
    })
}

/// Sends requests for a range and waits until so many have reached the proxy.
fn send_all(site: &Site, range: &str, count: usize) -> Vec<Client> {
    let send = |_| {
        let mut client = Client::connect(site.running.local_addr());
        let host = site.running.local_addr();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\nRange: bytes={range}\r\n\r\n"));
        client
    };
    (0..count).map(send).collect()
}

/// Waits for the proxy, which has one thread: who sent something before has been heard.
fn heard(site: &Site) {
    let mut client = Client::connect(site.running.local_addr());
    assert_eq!(client.request("OPTIONS", "/", &[("Max-Forwards", "0")]).status, 200);
}

const SHARED: &str = "ETag: \"a\"\r\nCache-Control: max-age=10\r\n";

#[test]
fn requests_for_one_missing_range_are_one_for_the_origin() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise(SHARED, steps);
    let site = site(&origin);
    (0..2).for_each(|_| go.send(()).unwrap());
    expect(&site.range("bytes=0-3"), 206, "MISS", "bytes 0-3/10", "0123");
    // Nobody has the head yet, some have it, and the last ones come when half of it is there.
    let mut waiting = send_all(&site, "2-8", 3);
    assert!(testkit::eventually(|| origin.count() == 2));
    heard(&site);
    go.send(()).unwrap();
    let heads: Vec<_> = waiting.iter_mut().map(|client| client.head_to("GET").unwrap()).collect();
    let mut late = send_all(&site, "2-8", 1);
    let late_head = late[0].head_to("GET").unwrap();
    go.send(()).unwrap();
    let mut told = Vec::new();
    for (client, mut head) in
        waiting.iter_mut().chain(&mut late).zip(heads.into_iter().chain([late_head]))
    {
        let mut body = Vec::new();
        client.body_into(&mut head, &mut |part| body.extend_from_slice(part)).unwrap();
        assert_eq!((head.status, &body[..]), (206, &b"2345678"[..]));
        assert_eq!(head.field("Content-Range"), Some("bytes 2-8/10"));
        let status = head.field("Cache-Status").unwrap();
        assert!(status.contains("fwd=partial") && status.contains("stored"), "{status}");
        told.push(status.contains("collapsed"));
    }
    assert_eq!(told.iter().filter(|collapsed| **collapsed).count(), 3, "{told:?}");
    assert_eq!(asked(&origin)[1..], [["bytes=4-8", "\"a\"", ""]]);
    expect(&site.range("bytes=2-8"), 206, "HIT", "bytes 2-8/10", "2345678");
}

#[test]
fn a_range_for_one_client_alone_is_not_shared() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise("Cache-Control: private\r\n", steps);
    let site = site(&origin);
    let mut waiting = send_all(&site, "2-8", 3);
    assert!(testkit::eventually(|| origin.count() == 1));
    heard(&site);
    (0..6).for_each(|_| go.send(()).unwrap());
    let mut numbers: Vec<_> = waiting
        .iter_mut()
        .map(|client| {
            let response = client.response();
            assert_eq!((response.status, response.text()), (206, "2345678".to_owned()));
            response.field("X-Number").unwrap().to_owned()
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, ["1", "2", "3"]);
}

#[test]
fn nobody_waits_for_a_range_from_before_an_invalidation() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise(SHARED, steps);
    let site = site(&origin);
    let mut early = send_all(&site, "2-8", 1);
    assert!(testkit::eventually(|| origin.count() == 1));
    let posted = Client::connect(site.running.local_addr()).request("POST", "/", &[]);
    assert_eq!(posted.status, 200);
    let mut late = send_all(&site, "2-8", 1);
    assert!(testkit::eventually(|| origin.count() == 3));
    (0..4).for_each(|_| go.send(()).unwrap());
    assert_eq!(early[0].response().text(), "2345678");
    let late = late[0].response();
    assert_eq!((late.field("X-Number"), late.text()), (Some("2"), "2345678".to_owned()));
}

#[test]
fn who_asks_for_another_variant_of_a_range_is_not_answered_with_this_one() {
    let (go, steps) = std::sync::mpsc::channel();
    let origin = stepwise("Cache-Control: max-age=10\r\nVary: X-V\r\n", steps);
    let site = site(&origin);
    let send = |variant: &str| {
        let mut client = Client::connect(site.running.local_addr());
        let head =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-V: {variant}\r\nRange: bytes=2-8\r\n\r\n");
        client.send(head);
        client
    };
    let mut one = send("1");
    assert!(testkit::eventually(|| origin.count() == 1));
    let mut other = send("2");
    heard(&site);
    (0..4).for_each(|_| go.send(()).unwrap());
    assert_eq!(one.response().field("X-Number"), Some("1"));
    let other = other.response();
    assert_eq!(other.field("X-Number"), Some("2"));
    assert!(other.field("Cache-Status").unwrap().contains("collapsed=?0"));
}
