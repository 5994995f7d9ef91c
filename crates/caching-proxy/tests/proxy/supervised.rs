//! Under a supervisor: sockets that are there already, and what is told of how it stands.

use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use testkit::{Client, Launch, Origin, PATIENCE};

use crate::{Proxy, cache, millis, ok};

fn site() -> Origin {
    Origin::answering(ok("Cache-Control: max-age=3600\r\n", "page"))
}

/// The supervisor's socket.
struct Listener {
    socket: UnixDatagram,
    _directory: TempDir,
    path: String,
}

impl Listener {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("notify").to_str().unwrap().to_owned();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, _directory: directory, path }
    }

    fn hears(&self) -> String {
        let mut datagram = [0; 1024];
        let length = self.socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    }

    /// Waits for what begins like this.
    fn hears_at_last(&self, what: &str) {
        while !self.hears().starts_with(what) {}
    }

    /// True if nothing comes for so long, after what is there already.
    fn is_silent(&self, time: Duration) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 1024]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        self.socket.set_read_timeout(Some(time)).unwrap();
        let silent = self.socket.recv(&mut [0; 1024]).is_err();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        silent
    }
}

#[test]
fn a_watchdog_hears_of_the_process_that_serves_as_long_as_it_does() {
    let listener = Listener::new();
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    proxy.terminate();
    let launch = proxy.launch().env("NOTIFY_SOCKET", &listener.path);
    let mut first = launch.clone().env("WATCHDOG_USEC", "400000").start();
    for _ in 0..3 {
        listener.hears_at_last("WATCHDOG=1");
    }
    first.freeze();
    thread::sleep(millis(50));
    assert!(listener.is_silent(millis(1_000)));
    first.thaw();
    listener.hears_at_last("WATCHDOG=1");
    // It is the first that knows what the supervisor wants.
    let mut second = launch.arg("--take-over").start();
    listener.hears_at_last("MAINPID=");
    assert_eq!(first.exited().code(), Some(0));
    for _ in 0..3 {
        listener.hears_at_last("WATCHDOG=1");
    }
    second.send_term();
    listener.hears_at_last("STOPPING=1");
    assert_eq!(second.exited().code(), Some(0));
}

#[test]
fn the_supervisor_is_told_how_it_stands() {
    let listener = Listener::new();
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    proxy.terminate();
    let launch = proxy.launch().env("NOTIFY_SOCKET", &listener.path);
    let mut first = launch.start();
    assert!(listener.hears().starts_with("READY=1\nSTATUS=serving on http://"));
    first.send_hangup();
    assert!(listener.hears().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(listener.hears(), "READY=1");
    let mut second = launch.arg("--take-over").start();
    let told = listener.hears();
    assert!(told.starts_with(&format!("MAINPID={}\nREADY=1\n", second.pid())), "{told}");
    // The older one says nothing of its end: the service goes on.
    assert_eq!(first.exited().code(), Some(0));
    second.send_term();
    assert!(listener.hears().starts_with("STOPPING=1\n"));
    assert_eq!(second.exited().code(), Some(0));
}

#[test]
fn a_hangup_does_no_harm_where_there_is_nothing_to_read_again() {
    let origin = site();
    let mut proxy = Proxy::before(&origin);
    assert_eq!(cache(&proxy.get("/")), "MISS");
    for _ in 0..3 {
        proxy.binary().send_hangup();
        assert_eq!(cache(&proxy.get("/")), "HIT");
    }
    proxy.terminate();
}

/// Opens listening sockets as file descriptors from 3 on, then becomes the program in its arguments.
const SUPERVISOR: &str = r#"
    use IO::Socket::INET;
    $^F = 100;
    my ($count, $names, $pid) = splice(@ARGV, 0, 3);
    my @sockets = map {
        IO::Socket::INET->new(Listen => 128, LocalAddr => "127.0.0.1", Proto => "tcp") or die
    } 1 .. $count;
    fileno($sockets[0]) == 3 or die;
    $ENV{LISTEN_FDS} = $count;
    $ENV{LISTEN_FDNAMES} = $names;
    $ENV{LISTEN_PID} = $pid || $$;
    exec(@ARGV) or die;
"#;

fn activated(origin: &Origin, directory: &TempDir, count: &str, names: &str, pid: &str) -> Launch {
    Launch::new("perl")
        .args(["-e", SUPERVISOR, count, names, pid, env!("CARGO_BIN_EXE_caching-proxy")])
        .args(["--workers", "3", "--origin", &origin.url(), "--cache-dir"])
        .arg(directory.path().join("cache"))
}

#[test]
fn sockets_that_a_supervisor_has_opened_are_listened_to() {
    let origin = site();
    let directory = TempDir::new().unwrap();
    // The port that the system is to pick is that of the first.
    let launch = activated(&origin, &directory, "2", "http:unknown", "0").args(["--port", "0"]);
    let binary = launch.start();
    let ready = binary.stderr();
    let listen = ready.split("\"listen\":[").nth(1).unwrap().split(']').next().unwrap();
    let addresses: Vec<_> = listen.split(',').map(|text| text.trim_matches('"')).collect();
    assert_eq!(addresses.len(), 2, "{ready}");
    for address in addresses {
        // More than there are workers.
        let mut clients: Vec<_> = (0..10).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
            assert_eq!(client.response().text(), "page");
        }
    }
    assert_eq!(origin.count(), 1);
    assert_eq!(binary.terminate().code(), Some(0));
}

#[test]
fn names_of_sockets_choose_what_is_spoken_there() {
    let origin = site();
    let directory = TempDir::new().unwrap();
    let launch = activated(&origin, &directory, "3", "https:redirect:http", "0");
    let binary = launch.arg("--tls-self-signed").start();
    let port = |url: Option<String>| -> u16 {
        url.unwrap().rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap()
    };
    let redirect = port(binary.ready("redirect_url"));
    let answer = Client::connect(("127.0.0.1", redirect)).get("/x");
    assert_eq!(answer.status, 308);
    let https = port(binary.ready("tls_url")).to_string();
    assert!(answer.field("Location").unwrap().contains(&https));
    assert_eq!(Client::connect(("127.0.0.1", binary.port())).get("/").text(), "page");
}

#[test]
fn sockets_for_another_process_are_none_of_its() {
    let origin = site();
    let directory = TempDir::new().unwrap();
    let output = activated(&origin, &directory, "1", "", "1").run();
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("--port"), "{}", output.stderr);
}

#[test]
fn what_is_no_listening_socket_is_refused() {
    let origin = site();
    let directory = TempDir::new().unwrap();
    let launch = |opens: &str| {
        let script = format!(
            "use IO::Socket::INET; $^F = 100; {opens} $ENV{{LISTEN_FDS}} = 1; \
             $ENV{{LISTEN_PID}} = $$; exec(@ARGV) or die;"
        );
        Launch::new("perl")
            .args(["-e", &script, env!("CARGO_BIN_EXE_caching-proxy")])
            .args(["--origin", &origin.url(), "--cache-dir"])
            .arg(directory.path().join("cache"))
            .run()
    };
    for opens in [
        "open(my $f, '<', '/dev/null');",
        "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'udp');",
        "my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Proto => 'tcp');",
        "",
    ] {
        let output = launch(opens);
        assert_eq!(output.code, Some(2), "{opens}: {}", output.stderr);
        assert!(output.stderr.contains("listening TCP socket"), "{opens}: {}", output.stderr);
    }
}
