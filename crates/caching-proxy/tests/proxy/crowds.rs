//! More connections than there may be, or than there are file descriptors.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Instant;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use testkit::frames::{Frame, Frames, kind};
use testkit::{Client, Launch, Origin, Response};

use crate::{Proxy, cache, count, millis, ok, retry_after, seconds};

/// Half a request: whoever has sent it is busy.
const HALF: &str = "GET / HTTP/1.1\r\nHo";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn page() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=60\r\n", "x"))
}

fn busy(proxy: &Proxy, count: usize) -> Vec<Client> {
    let begin = |_| {
        let mut client = proxy.client();
        client.send(HALF);
        client
    };
    (0..count).map(begin).collect()
}

fn open(proxy: &Proxy) -> u64 {
    count(proxy, "client_connections.open")
}

/// It is told that there are too many, and its connection is closed.
fn check_refused(mut client: Client, code: &str) {
    client.send(GET);
    let answer = client.response();
    assert_eq!(answer.status, 503);
    assert!(retry_after(&answer), "{}", answer.raw_head);
    let told = answer.field("Proxy-Status").unwrap();
    assert!(told.ends_with(&format!("; details=\"{code}\"")), "{told}");
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(client.at_eof());
}

fn is_served(answer: &Response) -> bool {
    answer.status == 200 && answer.text() == "x"
}

fn gets_in(proxy: &Proxy) -> bool {
    let mut client = proxy.client();
    client.send(GET);
    client.try_response().is_ok_and(|answer| is_served(&answer))
}

#[test]
fn a_listener_has_as_many_connections_as_it_may_and_not_one_more() {
    let origin = page();
    let proxy = Proxy::with(&origin, &["--max-connections", "3"]);
    let mut three = busy(&proxy, 3);
    assert!(testkit::eventually(|| open(&proxy) == 3));
    check_refused(proxy.client(), "connections-full");
    assert_eq!(count(&proxy, "client_connections.refused"), 1);
    // Those who are there are served, and who leaves makes room.
    three[0].send("st: a\r\n\r\n");
    assert!(is_served(&three[0].response()));
    drop(three.pop());
    assert!(testkit::eventually(|| open(&proxy) == 2));
    assert!(is_served(&proxy.get("/")));
}

#[test]
fn a_connection_that_has_been_idle_for_the_longest_makes_way() {
    let origin = page();
    let proxy = Proxy::with(&origin, &["--max-connections", "3"]);
    let [mut first, mut second, mut third] = [0; 3].map(|_| proxy.client());
    for client in [&mut first, &mut second, &mut third] {
        assert!(is_served(&client.get("/")));
    }
    sleep(millis(600));
    assert!(is_served(&first.get("/")));
    sleep(millis(600));
    // The second has been idle for longer than the first, and the third is busy.
    third.send(HALF);
    sleep(millis(50));
    let mut fourth = proxy.client();
    assert!(is_served(&fourth.get("/")));
    assert!(second.at_eof());
    assert!(is_served(&first.get("/")) && is_served(&fourth.get("/")));
    assert_eq!(count(&proxy, "client_connections.made_way"), 1);
}

#[test]
fn who_is_one_too_many_and_says_nothing_is_let_go_soon() {
    let origin = page();
    for args in [&[][..], &["--proxy-protocol"]] {
        let proxy = Proxy::with(&origin, &[&["--max-connections", "1"], args].concat());
        let mut there = proxy.client();
        there.send("PROXY UNKNOWN\r\n".repeat(args.len()) + HALF);
        assert!(testkit::eventually(|| open(&proxy) == 1));
        let began = Instant::now();
        let mut silent = proxy.client();
        assert!(silent.at_eof());
        assert!((millis(900)..seconds(4)).contains(&began.elapsed()), "{:?}", began.elapsed());
        assert_eq!(open(&proxy), 1);
    }
}

#[test]
fn who_has_not_said_yet_whom_it_speaks_for_makes_way() {
    let origin = page();
    let proxy = Proxy::with(&origin, &["--max-connections", "1", "--proxy-protocol"]);
    let mut silent = proxy.client();
    assert!(testkit::eventually(|| open(&proxy) == 1));
    sleep(millis(1200));
    let mut next = proxy.client();
    next.send("PROXY UNKNOWN\r\n".to_owned() + GET);
    assert!(is_served(&next.response()));
    assert!(silent.at_eof());
}

#[test]
fn a_client_has_as_many_connections_as_it_may_and_others_are_not_concerned() {
    let origin = page();
    let args = ["--max-connections-per-client", "2", "--proxy-protocol"];
    let proxy = Proxy::with(&origin, &args);
    let from = |address: &str, text: &str| {
        let mut client = proxy.client();
        client.send(format!("PROXY TCP4 {address} 192.0.2.9 1 2\r\n{text}"));
        client
    };
    let mut two = [from("192.0.2.1", ""), from("192.0.2.1", "")];
    for client in &mut two {
        // Whose it is has been read then.
        assert!(is_served(&client.get("/")));
        client.send(HALF);
    }
    check_refused(from("192.0.2.1", ""), "client-connections-full");
    let mut other = from("192.0.2.2", "");
    assert!(is_served(&other.get("/")));
    two[0].send("st: a\r\nConnection: close\r\n\r\n");
    assert!(is_served(&two[0].response()) && two[0].at_eof());
    assert!(testkit::eventually(|| open(&proxy) == 2));
    let mut third = from("192.0.2.1", "");
    assert!(is_served(&third.get("/")));
}

#[test]
fn without_a_proxy_the_address_of_the_peer_counts_and_a_trusted_proxy_is_no_client() {
    let origin = page();
    for (args, is_counted) in [
        (&["--max-connections-per-client", "1"][..], true),
        (&["--max-connections-per-client", "1", "--trusted-proxy", "127.0.0.1"], false),
    ] {
        let proxy = Proxy::with(&origin, args);
        let _one = busy(&proxy, 1);
        assert!(testkit::eventually(|| open(&proxy) == 1));
        if is_counted {
            check_refused(proxy.client(), "client-connections-full");
        } else {
            assert!(is_served(&proxy.get("/")));
        }
    }
}

#[test]
fn what_there_is_room_for_is_said_at_the_start() {
    let origin = page();
    let mut proxy = limited(&origin, 200, &["--max-connections", "500"]);
    let said = proxy.binary().stderr();
    assert!(said.contains(r#""max_connections":136"#), "{said}");
    assert!(proxy.binary().says("open files and memory allow 136 connections"));
}

/// A proxy that may have so many files open.
fn limited(origin: &Origin, files: u32, args: &[&str]) -> Proxy {
    let mut proxy = Proxy::with(origin, args);
    proxy.terminate();
    let limit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    let launch = Launch::new("/bin/sh").args(["-c", &limit, env!("CARGO_BIN_EXE_caching-proxy")]);
    let launch = launch.args(["--port", "0", "--origin", &proxy.origin, "--cache-dir"]);
    let launch = launch.arg(proxy.directory.path().join("cache")).args(args);
    proxy.binary = Some(launch.start());
    proxy
}

/// The time of processors that it has taken, in milliseconds.
fn busy_millis(proxy: &mut Proxy) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", proxy.binary().pid())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    // In ticks of ten milliseconds, as all systems have them that run this.
    (ticks(11) + ticks(12)) * 10
}

fn open_files(proxy: &mut Proxy) -> usize {
    proxy.binary().open_files().len()
}

/// Takes less than a twentieth of a processor while one client asks for something now and then.
fn check_at_rest(proxy: &mut Proxy, there: &mut Client) {
    let before = busy_millis(proxy);
    for _ in 0..20 {
        assert_eq!(cache(&there.get("/")), "HIT");
        sleep(millis(100));
    }
    let busy = busy_millis(proxy) - before;
    assert!(busy < 100, "{busy} ms of 2000");
}

#[test]
fn more_clients_than_descriptors_leave_those_who_are_there_alone() {
    testkit::raise_file_limit();
    let origin = page();
    let args = ["--workers", "2", "--client-head-timeout", "60s"];
    let mut proxy = limited(&origin, 128, &args);
    let mut there = proxy.client();
    assert!(is_served(&there.get("/")));
    let mut crowd: Vec<_> = busy(&proxy, 300);
    for number in 0..20 {
        assert_eq!(cache(&there.get("/")), "HIT");
        assert!(is_served(&there.get(&format!("/{number}"))));
        sleep(millis(50));
    }
    // Those who were one too many have been told, or left where they came from.
    assert!(open_files(&mut proxy) <= 128 - 50, "{}", open_files(&mut proxy));
    check_at_rest(&mut proxy, &mut there);
    assert!(count(&proxy, "client_connections.refused") > 0);
    assert!(count(&proxy, "client_connections.open") < 64);
    crowd.clear();
    let left = Instant::now();
    assert!(testkit::eventually(|| gets_in(&proxy)));
    assert!(left.elapsed() < seconds(1), "{:?}", left.elapsed());
    assert!(is_served(&there.get("/")));
}

#[test]
fn a_silent_crowd_before_the_last_descriptors_makes_way_as_fast_as_it_may() {
    testkit::raise_file_limit();
    let origin = page();
    // Many more than there is room for: each keeps its place for a second.
    let proxy = limited(&origin, 100, &["--workers", "1"]);
    let _silent: Vec<_> = (0..120).map(|_| proxy.client()).collect();
    let began = Instant::now();
    assert!(gets_in(&proxy));
    assert!(began.elapsed() < seconds(6), "{:?}", began.elapsed());
}

#[test]
fn where_the_origin_takes_the_last_descriptors_accepting_waits_and_recovers() {
    testkit::raise_file_limit();
    let go = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&go);
    let origin = Origin::start(move |request, conn| {
        while request.target.starts_with("/held") && !held.load(Ordering::Acquire) {
            conn.pause(millis(20));
        }
        conn.send(ok("Cache-Control: max-age=60\r\n", "x"));
    });
    let args = ["--workers", "1", "--client-head-timeout", "60s", "--first-byte-timeout", "60s"];
    let mut proxy = limited(&origin, 400, &args);
    let mut there = proxy.client();
    assert!(is_served(&there.get("/")));
    let mut crowd: Vec<_> = (0..280).map(|_| proxy.client()).collect();
    let ask = |number, client: &mut Client| {
        client.send(format!("GET /held/{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    };
    for (number, client) in crowd.iter_mut().enumerate() {
        ask(number, client);
        // One that asks again and again is not idle.
        if number % 40 == 0 {
            assert_eq!(cache(&there.get("/")), "HIT");
        }
    }
    // The last ones are for files and the control socket.
    let used = 400 - 16;
    let mut others = Vec::new();
    let all_are_used = || {
        // Some of the crowd may have found no way to the origin already: others come.
        assert_eq!(cache(&there.get("/")), "HIT");
        let mut other = proxy.client();
        ask(280 + others.len(), &mut other);
        others.push(other);
        open_files(&mut proxy) >= used
    };
    assert!(testkit::eventually(all_are_used), "{}", open_files(&mut proxy));
    // Those for whom there is no way to the origin are told after a second; all stay.
    let failed = || count(&proxy, "origin_failures");
    while failed() < 100 {
        assert_eq!(cache(&there.get("/")), "HIT");
        sleep(millis(50));
    }
    (0..8).for_each(|_| {
        assert_eq!(cache(&there.get("/")), "HIT");
        sleep(millis(50));
    });
    let mut told: Vec<_> = crowd.iter_mut().filter_map(|c| c.has_answer().then_some(c)).collect();
    for client in &mut told {
        let answer = client.response();
        assert_eq!(answer.status, 503, "{}", answer.raw_head);
        let is_told = retry_after(&answer) && answer.raw_head.contains("origin-no-descriptor");
        assert!(is_told, "{}", answer.raw_head);
        client.send(HALF);
    }
    let told = told.len();
    assert!(told >= 100, "{told}");
    // Nobody else gets in; whoever is there is served, and nothing spins.
    let mut waiting: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(GET);
    }
    check_at_rest(&mut proxy, &mut there);
    let told = waiting.iter_mut().filter_map(|client| client.has_answer().then_some(())).count();
    assert!(told <= 5, "{told}");
    go.store(true, Ordering::Release);
    crowd.clear();
    others.clear();
    let left = Instant::now();
    let served = waiting.iter_mut().filter_map(|c| is_served(&c.response()).then_some(())).count();
    assert!(served >= 15, "{served}");
    assert!(left.elapsed() < seconds(5), "{:?}", left.elapsed());
}

#[test]
fn whoever_makes_way_is_not_waited_for_whatever_it_has_not_taken() {
    let origin = Origin::answering(ok("Cache-Control: max-age=60\r\n", &"x".repeat(256 << 10)));
    let mut proxy = Proxy::with(&origin, &["--max-connections", "1", "--write-timeout", "1h"]);
    let sockets = |proxy: &mut Proxy| {
        let files = proxy.binary().open_files();
        files.iter().filter(|file| file.starts_with("socket:")).count()
    };
    let before = sockets(&mut proxy);
    let mut slow = Vec::new();
    for number in 1..=3 {
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        set_socket_recv_buffer_size(&client, 16 << 10).unwrap();
        client.write_all(GET.as_bytes()).unwrap();
        assert!(testkit::eventually(|| count(&proxy, "requests") == number));
        slow.push(client);
        sleep(millis(1200));
    }
    // The last one, and a connection to the origin that is kept.
    assert!(testkit::eventually(|| sockets(&mut proxy) <= before + 2));
    drop(slow);
}

#[test]
fn who_was_told_to_go_by_http2_makes_way_though_it_has_not_taken_all() {
    let origin = Origin::start(|request, conn| {
        let length = if request.target == "/large" { 256 << 10 } else { 1 };
        conn.send(ok("Cache-Control: max-age=60\r\n", &"x".repeat(length)));
    });
    let args = ["--max-connections", "1", "--write-timeout", "1h", "--idle-timeout", "300ms"];
    let proxy = Proxy::with(&origin, &args);
    let client = TcpStream::connect(proxy.address()).unwrap();
    set_socket_recv_buffer_size(&client, 16 << 10).unwrap();
    let mut frames = Frames::over(client);
    let wide = 1_u32 << 20;
    // SETTINGS_INITIAL_WINDOW_SIZE
    frames.greet(&[(4, wide)]);
    frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with(wide.to_be_bytes()));
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/large")];
    frames.send(&Frame::headers(1, true, &get));
    assert!(testkit::eventually(|| count(&proxy, "requests") == 1));
    // It is told now, and what the system has for it is waited for.
    sleep(millis(1500));
    assert_eq!(open(&proxy), 1);
    assert!(testkit::eventually(|| gets_in(&proxy)));
    drop(frames);
}

#[test]
fn a_client_that_has_said_goodbye_and_stays_makes_way() {
    let origin = page();
    let proxy = Proxy::with(&origin, &["--max-connections", "1", "--write-timeout", "1h"]);
    let mut frames = Frames::connect(proxy.address(), &[]);
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    frames.send(&Frame::headers(1, true, &get));
    frames.send(&Frame::new(kind::GOAWAY, 0, 0).with([0; 8]));
    while frames.frame().is_some() {}
    assert_eq!(open(&proxy), 1);
    assert!(testkit::eventually(|| gets_in(&proxy)));
    drop(frames);
}

#[test]
fn who_is_one_too_many_does_not_take_the_place_of_the_next_by_staying() {
    let origin = page();
    let proxy = Proxy::with(&origin, &["--max-connections", "1"]);
    let _there = busy(&proxy, 1);
    assert!(testkit::eventually(|| open(&proxy) == 1));
    let mut told = Vec::new();
    for _ in 0..50 {
        let mut client = proxy.client();
        client.send(GET);
        assert_eq!(client.response().status, 503);
        told.push(client);
    }
    assert_eq!(count(&proxy, "client_connections.dropped"), 0);
}
