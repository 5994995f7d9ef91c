//! One of the two does nothing for a while: nobody waits for ever, and no two write.

use testkit::Launch;

use super::pretender::Pretender;
use super::{get, site};
use crate::{Proxy, millis};

#[test]
fn an_older_process_that_does_nothing_is_not_waited_for() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    get(&proxy, "/");
    proxy.binary().freeze();
    let output = proxy.launch().arg("--take-over").run();
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("has said nothing for 5 seconds"), "{}", output.stderr);
    proxy.binary().thaw();
    assert_eq!(get(&proxy, "/"), "HIT");
    proxy.terminate();
}

#[test]
fn an_older_process_that_was_stopped_for_a_moment_waits_on() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    let mut pretender = Pretender::before(&proxy);
    pretender.takes_all();
    for _ in 0..3 {
        proxy.binary().freeze();
        proxy.binary().thaw();
        std::thread::sleep(millis(50));
    }
    // It could not know whether the other one writes.
    assert!(!proxy.binary().stderr().contains("take-over-failed"));
    assert_eq!(get(&proxy, "/"), "MISS");
    pretender.say(r#"{"serving":true}"#);
    assert!(proxy.binary().says(r#""event":"replaced""#));
    assert_eq!(proxy.binary().exited().code(), Some(0));
}

/// Takes all that there is, says so as if it were ready, and never another word.
const MUTE: &str = r#"
    use IO::Socket::UNIX;
    my $old = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
    $old->autoflush(1);
    print $old qq({"command":"take-over"}\n);
    while (<$old>) { last if /"pid"/ }
    print $old qq({"ready":$$}\n);
    while (<$old>) { last if /"yours"/ }
    print STDERR qq({"event":"ready","url":"http://127.0.0.1:1/"}\n);
    sleep 1000;
"#;

#[test]
fn a_newer_process_that_does_nothing_is_ended() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "/"), "MISS");
    let socket = proxy.directory.path().join("cache/control.sock");
    let mut mute = Launch::new("perl").args(["-e", MUTE]).arg(socket).start();
    mute.freeze();
    assert_eq!(get(&proxy, "/"), "HIT");
    assert_eq!(get(&proxy, "/meanwhile"), "MISS");
    // The older one gives it thirty seconds.
    assert!((0..4).any(|_| proxy.binary().says("take-over-failed")));
    assert_eq!(mute.exited().code(), None, "it was killed");
    for path in ["/", "/meanwhile"] {
        assert_eq!(get(&proxy, path), "HIT");
    }
    assert_eq!(get(&proxy, "/after"), "MISS");
    proxy.terminate();
    proxy.start();
    assert_eq!(get(&proxy, "/after"), "HIT", "it was stored on disk");
}
