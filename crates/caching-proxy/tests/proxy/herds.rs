//! Many clients wait for one fetch, and it fails: the origin does not get all of them at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::sleep;

use testkit::{Client, Conn, Origin, Received, Response, eventually};

use crate::{Proxy, cache, cache_status, millis, ok, response, seconds};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const MANY: usize = 200;
/// As many requests as ask in vain before the others share that.
const MOST: usize = 8;

/// An origin that numbers its requests, and begins to answer the one with the number `held` when it is
/// told to.
fn origin(
    held: usize,
    answer: impl Fn(usize, &Received, &mut Conn) + Send + Sync + 'static,
) -> (Origin, Sender<()>) {
    let (go, wait) = channel();
    let (wait, count) = (Mutex::new(wait), AtomicUsize::new(0));
    let origin = Origin::start(move |request, conn| {
        let number = count.fetch_add(1, Ordering::SeqCst) + 1;
        if number == held {
            let _ = wait.lock().unwrap().recv_timeout(seconds(20));
        }
        answer(number, request, conn);
    });
    (origin, go)
}

/// A proxy with one thread, so that it has heard of all who sent something before.
fn one_thread(origin: &Origin) -> Proxy {
    Proxy::with(origin, &["--workers", "1"])
}

fn sent(proxy: &Proxy, request: &str) -> Client {
    let mut client = proxy.client();
    client.send(request);
    client
}

/// One client that has asked the origin, which holds the answer to its request number `held`, and many
/// that wait for the same.
fn gathered(proxy: &Proxy, origin: &Origin, held: usize, requests: &[&str]) -> Vec<Client> {
    let mut clients = vec![sent(proxy, requests[0])];
    assert!(eventually(|| origin.count() == held));
    clients.extend(requests[1..].iter().map(|request| sent(proxy, request)));
    assert_eq!(proxy.request("OPTIONS", "/", &[("Max-Forwards", "0")]).status, 200);
    sleep(millis(200));
    assert_eq!(origin.count(), held, "they wait");
    clients
}

fn responses(clients: Vec<Client>) -> Vec<Response> {
    clients.into_iter().map(|mut client| client.response()).collect()
}

fn waited_in_vain(answer: &Response) -> bool {
    cache_status(answer).contains("collapsed=?0")
}

/// A request with one more field.
fn get(field: &str) -> String {
    GET.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

fn good(conn: &mut Conn) {
    conn.send(ok("Cache-Control: max-age=60\r\n", "good"));
}

#[test]
fn an_origin_that_closes_every_connection_gets_few_requests_and_all_share_that() {
    let range = "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=2-5\r\n\r\n";
    let query = "QUERY / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\
                 Content-Length: 1\r\n\r\nq";
    for request in [GET, range, query] {
        let (origin, go) = origin(1, |_, _, conn| conn.close());
        let proxy = one_thread(&origin);
        let clients = gathered(&proxy, &origin, 1, &[request; MANY]);
        go.send(()).unwrap();
        let answers = responses(clients);
        assert!(answers.iter().all(|answer| answer.status == 502), "{request}");
        assert_eq!(origin.count(), MOST, "{request}");
        let shared = |answer: &&Response| cache_status(answer).contains("; collapsed;");
        assert_eq!(answers.iter().filter(shared).count(), MANY - MOST, "{request}");
        // What comes later asks anew.
        assert_eq!(responses(vec![sent(&proxy, request)])[0].status, 502);
        assert_eq!(origin.count(), MOST + 1);
    }
}

#[test]
fn one_of_those_who_waited_for_a_fetch_that_failed_fetches_for_all_others() {
    let refused = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    // After an answer some ask at once.
    for (bad, status, most) in [("", 502, 2), (refused, 503, MOST)] {
        let (origin, go) = origin(1, move |number, _, conn| {
            if number == 1 {
                conn.send(bad);
                conn.close();
            } else {
                good(conn);
            }
        });
        let proxy = one_thread(&origin);
        let clients = gathered(&proxy, &origin, 1, &[GET; MANY]);
        go.send(()).unwrap();
        let mut answers = responses(clients);
        assert_eq!(answers.remove(0).status, status);
        assert!(answers.iter().all(|answer| answer.text() == "good"));
        assert!((2..=most).contains(&origin.count()), "{}", origin.count());
    }
}

#[test]
fn a_few_requests_that_the_origin_cannot_stand_fail_nobody_else() {
    let (origin, go) = origin(1, |_, request, conn| match request.field("X-Bad") {
        Some(_) => conn.close(),
        None => good(conn),
    });
    let proxy = one_thread(&origin);
    let bad = "GET / HTTP/1.1\r\nHost: a\r\nX-Bad: 1\r\n\r\n";
    let (bad, fine) = ([bad; MOST - 1], [GET; MANY]);
    let mut clients = gathered(&proxy, &origin, 1, &[&bad[..], &fine].concat());
    go.send(()).unwrap();
    let fine = responses(clients.split_off(bad.len()));
    assert!(fine.iter().all(|answer| answer.text() == "good"));
    assert!(origin.count() <= MOST, "{}", origin.count());
}

#[test]
fn an_error_that_the_origin_sends_to_everybody_is_each_ones_own() {
    let (origin, go) = origin(1, |number, _, conn| {
        let body = number.to_string();
        conn.send(response("503 No", "Cache-Control: no-store\r\n", &body));
    });
    let proxy = one_thread(&origin);
    let clients = gathered(&proxy, &origin, 1, &[GET; 30]);
    go.send(()).unwrap();
    let answers = responses(clients);
    assert!(answers.iter().all(|answer| answer.status == 503));
    let mut bodies: Vec<_> = answers.iter().map(Response::text).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 30);
}

#[test]
fn all_who_wait_get_what_is_stale_as_soon_as_the_first_has_failed() {
    for window in ["", ", stale-while-revalidate=1"] {
        let (origin, go) = origin(2, move |number, _, conn| match number {
            1 => {
                let fields = format!("Cache-Control: max-age=1, stale-if-error=60{window}\r\n");
                // What is asked on a kept connection would be asked twice.
                conn.send(ok(&format!("{fields}Connection: close\r\n"), "old"));
                conn.close();
            }
            2 => conn.close(),
            _ => good(conn),
        });
        let proxy = one_thread(&origin);
        assert_eq!(responses(vec![sent(&proxy, GET)])[0].text(), "old");
        sleep(millis(1_100));
        if !window.is_empty() {
            // This one is answered at once; what renews it in the background, the others wait for.
            assert_eq!(responses(vec![sent(&proxy, GET)])[0].text(), "old");
            sleep(millis(1_100));
        }
        let clients = gathered(&proxy, &origin, 2, &[GET; MANY]);
        go.send(()).unwrap();
        for answer in responses(clients) {
            assert_eq!((cache(&answer), answer.text()), ("HIT", "old".to_owned()));
            let told = answer.field("Proxy-Status").unwrap();
            assert!(told.contains("error=connection_terminated"), "{told}");
        }
        assert_eq!(origin.count(), 2);
    }
}

#[test]
fn those_who_wait_for_another_variant_than_the_first_ask_once_for_each() {
    let vary = "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n";
    let (origin, go) = origin(1, move |_, request, conn| {
        conn.send(ok(vary, request.field("Accept-Language").unwrap_or("none")));
    });
    let proxy = one_thread(&origin);
    let languages = ["de", "en", "fr"];
    let requests: Vec<_> = (0..MANY)
        .map(|number| get(&format!("Accept-Language: {}", languages[number % 3])))
        .collect();
    let requests: Vec<_> = requests.iter().map(String::as_str).collect();
    let clients = gathered(&proxy, &origin, 1, &requests);
    go.send(()).unwrap();
    let answers = responses(clients);
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.text(), languages[number % 3]);
    }
    assert_eq!(answers.iter().filter(|answer| waited_in_vain(answer)).count(), 2);
    assert_eq!(origin.count(), 3);
}

#[test]
fn those_who_wait_for_what_is_invalidated_meanwhile_ask_once_more_for_all() {
    let (origin, go) = origin(1, |number, request, conn| {
        let is_get = request.method == "GET";
        let fields = if is_get { "Cache-Control: max-age=60\r\n" } else { "" };
        conn.send(ok(fields, &number.to_string()));
    });
    let proxy = one_thread(&origin);
    let clients = gathered(&proxy, &origin, 1, &[GET; MANY]);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(responses(vec![sent(&proxy, post)])[0].text(), "2");
    go.send(()).unwrap();
    let mut answers = responses(clients);
    assert_eq!(answers.remove(0).text(), "1");
    assert!(answers.iter().all(|answer| answer.text() == "3"));
    assert_eq!(origin.count(), 3);
}

#[test]
fn those_on_other_threads_who_wait_for_what_is_invalidated_ask_once_more_for_all_too() {
    let (origin, go) = origin(1, |number, request, conn| {
        let is_get = request.method == "GET";
        let fields = if is_get {
            "Cache-Control: max-age=60\r\nCache-Groups: \"g\"\r\n"
        } else {
            "Cache-Group-Invalidation: \"g\"\r\n"
        };
        conn.send(ok(fields, &number.to_string()));
    });
    let proxy = Proxy::with(&origin, &["--workers", "4"]);
    let clients = gathered(&proxy, &origin, 1, &[GET; MANY]);
    let post = "POST /elsewhere HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(responses(vec![sent(&proxy, post)])[0].text(), "2");
    go.send(()).unwrap();
    let mut answers = responses(clients);
    assert_eq!(answers.remove(0).text(), "1");
    assert!(answers.iter().all(|answer| answer.text() == "3"));
    assert_eq!(origin.count(), 3);
}

#[test]
fn those_who_ask_once_more_and_those_who_come_then_share_one_fetch() {
    let query = "QUERY / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\
                 Content-Length: 1\r\n\r\nq";
    for request in [&*get("Authorization: Basic eA=="), &get("Range: bytes=0-0"), query] {
        let open = Arc::new(AtomicBool::new(false));
        let is_open = Arc::clone(&open);
        let (origin, go) = origin(1, move |number, request, conn| {
            assert!(number < 3 || eventually(|| is_open.load(Ordering::SeqCst)));
            let is_post = request.method == "POST";
            let fields = if is_post { "" } else { "Cache-Control: public, max-age=60\r\n" };
            conn.send(ok(fields, &number.to_string()));
        });
        let proxy = one_thread(&origin);
        let mut clients = gathered(&proxy, &origin, 1, &[request; 9]);
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(responses(vec![sent(&proxy, post)])[0].text(), "2");
        go.send(()).unwrap();
        assert_eq!(clients.remove(0).response().text(), "1", "{request}");
        assert!(eventually(|| origin.count() == 3));
        clients.extend(gathered(&proxy, &origin, 3, &[request; 9]));
        open.store(true, Ordering::SeqCst);
        assert!(responses(clients).iter().all(|answer| answer.text() == "3"), "{request}");
        assert_eq!(origin.count(), 3, "{request}");
    }
}

#[test]
fn while_nobody_knows_what_a_request_has_changed_others_wait_in_vain_once_only() {
    let open = Arc::new(AtomicBool::new(false));
    let is_open = Arc::clone(&open);
    let (origin, go) = origin(1, move |number, request, conn| {
        if request.method == "POST" {
            return conn.close();
        }
        assert!(number < 3 || eventually(|| is_open.load(Ordering::SeqCst)));
        good(conn);
    });
    let proxy = one_thread(&origin);
    let clients = gathered(&proxy, &origin, 1, &[GET; MANY]);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(responses(vec![sent(&proxy, post)])[0].status, 502);
    go.send(()).unwrap();
    assert!(eventually(|| origin.count() == MANY + 1), "{}", origin.count());
    open.store(true, Ordering::SeqCst);
    assert!(responses(clients).iter().all(|answer| answer.text() == "good"));
}

#[test]
fn a_limit_that_the_origin_tells_one_client_is_not_that_of_those_who_wait() {
    for status in ["429 Slow", "431 Large", "428 If-Match"] {
        let (origin, go) = origin(1, move |_, request, conn| match request.field("X-Bad") {
            Some(_) => drop(conn.send(response(status, "Cache-Control: max-age=60\r\n", ""))),
            None => good(conn),
        });
        let proxy = one_thread(&origin);
        let bad = get("X-Bad: 1");
        let clients = gathered(&proxy, &origin, 1, &[&[&*bad], &[GET; MANY][..]].concat());
        go.send(()).unwrap();
        let mut answers = responses(clients);
        assert_eq!(answers.remove(0).status.to_string(), status[..3]);
        assert!(answers.iter().all(|answer| answer.text() == "good"));
        assert!((2..=MOST).contains(&origin.count()), "{}", origin.count());
    }
}

#[test]
fn nobody_waits_for_a_request_that_is_for_itself_or_has_credentials() {
    for field in ["Cache-Control: no-store", "Cache-Control: no-cache", "Authorization: Basic eA=="]
    {
        let (origin, go) = origin(1, |_, _, conn| good(conn));
        let proxy = one_thread(&origin);
        let mut first = sent(&proxy, &get(field));
        assert!(eventually(|| origin.count() == 1));
        let others = responses((0..MANY).map(|_| sent(&proxy, GET)).collect());
        assert!(others.iter().all(|answer| answer.text() == "good"), "{field}");
        assert!(!others.iter().any(waited_in_vain), "{field}");
        assert_eq!(origin.count(), 2, "{field}");
        go.send(()).unwrap();
        assert_eq!(first.response().text(), "good");
    }
}

#[test]
fn what_another_fetch_cannot_answer_does_not_wait_for_one() {
    for field in ["Cache-Control: no-store", "Cache-Control: no-cache", "Authorization: Basic eA=="]
    {
        let (origin, go) = origin(1, |_, _, conn| good(conn));
        let proxy = one_thread(&origin);
        let mut first = sent(&proxy, GET);
        assert!(eventually(|| origin.count() == 1));
        let other = sent(&proxy, &get(field)).response();
        assert_eq!((other.text(), waited_in_vain(&other)), ("good".to_owned(), false), "{field}");
        go.send(()).unwrap();
        assert_eq!(first.response().text(), "good");
    }
}

#[test]
fn those_with_credentials_wait_for_one_another_only_where_it_helps() {
    let private = get("Authorization: Basic eA==");
    let (origin, go) = origin(2, |_, _, conn| good(conn));
    let proxy = one_thread(&origin);
    assert_eq!(sent(&proxy, &private).response().text(), "good");
    let mut second = sent(&proxy, &private);
    assert!(eventually(|| origin.count() == 2));
    let third = sent(&proxy, &private).response();
    assert_eq!((third.text(), waited_in_vain(&third)), ("good".to_owned(), false));
    go.send(()).unwrap();
    assert_eq!(second.response().text(), "good");
    let (origin, go) = self::origin(1, |_, _, conn| {
        conn.send(ok("Cache-Control: public, max-age=60\r\n", "public"));
    });
    let proxy = one_thread(&origin);
    let clients = gathered(&proxy, &origin, 1, &[&*private; MANY]);
    go.send(()).unwrap();
    assert!(responses(clients).iter().all(|answer| answer.text() == "public"));
    assert_eq!(origin.count(), 1);
}
