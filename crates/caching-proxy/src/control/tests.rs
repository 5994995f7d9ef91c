use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::state::{Claim, SOCKET};

/// Answers with what it was asked.
struct Echo;

impl Commands for Echo {
    fn answer(&self, request: Request) -> Value {
        json!({ "did": request.word() })
    }

    fn let_take_over(&self, _: UnixStream) {}
}

fn serve(directory: &Path) -> (Claim, Server) {
    let claim = Claim::take(directory).unwrap();
    let server = Server::start(&claim, Arc::new(Echo)).unwrap();
    (claim, server)
}

fn raw(directory: &Path, bytes: &[u8]) -> String {
    let mut client = UnixStream::connect(directory.join(SOCKET)).unwrap();
    client.write_all(bytes).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn each_command_is_answered() {
    let directory = tempfile::tempdir().unwrap();
    let _running = serve(directory.path());
    let purge = Request::Purge { what: Purge::All, soft: true };
    let forget = Request::Forget(proxy::Forgotten::default());
    for request in [Request::Clear, Request::Stats, Request::Metrics, purge, forget] {
        assert_eq!(ask(directory.path(), &request).unwrap(), json!({ "did": request.word() }));
    }
}

#[test]
fn garbage_is_answered_with_an_error_and_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let _running = serve(directory.path());
    let table: [(&[u8], &str); 8] = [
        (b"", "{\"error\":\"not a line of JSON\"}\n"),
        (b"\xff\xfe\n", "{\"error\":\"not a line of JSON\"}\n"),
        (b"GET / HTTP/1.1\r\n\r\n", "{\"error\":\"not a line of JSON\"}\n"),
        (b"[]\n", "{\"error\":\"no member \\\"command\\\"\"}\n"),
        (b"{\"command\":\"halt\"}\n", "{\"error\":\"unknown command \\\"halt\\\"\"}\n"),
        (b"{\"command\":\"purge\"}\n", "{\"error\":\"a purge has to name one thing\"}\n"),
        (b"{\"command\":\"clear\"}", "{\"did\":\"clear\"}\n"),
        (b"{\"command\":\"clear\"}\n{}", "{\"error\":\"something comes behind the line\"}\n"),
    ];
    for (bytes, answer) in table {
        assert_eq!(raw(directory.path(), bytes), answer);
    }
}

#[test]
fn a_request_without_end_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let _running = serve(directory.path());
    let mut client = UnixStream::connect(directory.path().join(SOCKET)).unwrap();
    client.write_all(&vec![b'x'; 512 << 10]).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"error\":\"not a line of JSON\"}\n");
}

#[test]
fn a_silent_client_does_not_keep_others_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let _running = serve(directory.path());
    let _silent = UnixStream::connect(directory.path().join(SOCKET)).unwrap();
    assert!(ask(directory.path(), &Request::Stats).is_ok());
}

#[test]
fn the_socket_is_for_this_user_alone_and_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (_claim, server) = serve(directory.path());
    let socket = directory.path().join(SOCKET);
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    drop(server);
    assert!(!socket.exists());
    assert!(matches!(ask(directory.path(), &Request::Stats), Err(AskError::NotRunning)));
}

#[test]
fn a_socket_that_a_killed_instance_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap());
    assert!(matches!(ask(directory.path(), &Request::Stats), Err(AskError::NotRunning)));
    let _running = serve(directory.path());
    assert!(ask(directory.path(), &Request::Stats).is_ok());
}

#[test]
fn whoever_comes_after_one_that_ended_while_it_was_asked_is_asked_too() {
    let directory = tempfile::tempdir().unwrap();
    let dying = std::os::unix::net::UnixListener::bind(directory.path().join(SOCKET)).unwrap();
    let place = directory.path().to_owned();
    let successor = std::thread::spawn(move || {
        // Once with the question unread, once after reading it.
        drop(dying.accept().unwrap());
        let (mut client, _) = dying.accept().unwrap();
        assert!(client.read(&mut [0; 512]).unwrap() > 0);
        drop((client, dying));
        serve(&place)
    });
    let answer = ask_patiently(directory.path(), &Request::Stats).unwrap();
    assert_eq!(answer["did"], "stats");
    drop(successor.join().unwrap());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(SOCKET), "precious").unwrap();
    let claim = Claim::take(directory.path()).unwrap();
    let error = Server::start(&claim, Arc::new(Echo)).err().unwrap();
    assert!(matches!(error, BindError::InTheWay(_)), "{error}");
    assert_eq!(std::fs::read(directory.path().join(SOCKET)).unwrap(), b"precious");
}

#[test]
fn a_path_longer_than_a_socket_address_works() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("d".repeat(120));
    let (_claim, server) = serve(&directory);
    assert!(ask(&directory, &Request::Clear).is_ok());
    drop(server);
    assert!(!directory.join(SOCKET).exists());
}

#[test]
fn no_instance_is_told_from_no_directory_by_neither() {
    let base = tempfile::tempdir().unwrap();
    for directory in [base.path().to_owned(), base.path().join("missing/".repeat(20))] {
        assert!(matches!(ask(&directory, &Request::Clear), Err(AskError::NotRunning)));
    }
}
