//! One of the two does nothing for a while: nobody waits for ever, and no two write.

use testkit::Launch;

use super::pretender::Pretender;
use super::{get, site};
use crate::Proxy;

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
        // It goes on.
        get(&proxy, "/");
    }
    // It could not know whether the other one writes.
    assert!(!proxy.binary().stderr().contains("take-over-failed"));
    pretender.say(r#"{"serving":true}"#);
    assert!(proxy.binary().says(r#""event":"replaced""#));
    assert_eq!(proxy.binary().exited().code(), Some(0));
}

/// Takes all that there is, and then says something that is no word for it.
const STRANGE: &str = r#"
    use IO::Socket::UNIX;
    my $old = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
    $old->autoflush(1);
    print $old qq({"command":"take-over"}\n);
    while (<$old>) { last if /"pid"/ }
    print $old qq({"ready":$$}\n);
    while (<$old>) { last if /"yours"/ }
    print $old qq({"serving":"perhaps"}\n);
    sleep 1000;
"#;

#[test]
fn a_newer_process_of_which_nobody_knows_whether_it_writes_is_ended() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(get(&proxy, "/"), "MISS");
    let socket = proxy.directory.path().join("cache/control.sock");
    let mut strange = Launch::new("perl").args(["-e", STRANGE]).arg(socket).begin();
    assert!(proxy.binary().says("take-over-failed"));
    assert_eq!(strange.exited().code(), None, "it was killed");
    assert_eq!(get(&proxy, "/"), "HIT");
    assert_eq!(get(&proxy, "/after"), "MISS");
    proxy.terminate();
    proxy.start();
    assert_eq!(get(&proxy, "/after"), "HIT", "it was stored on disk");
}
