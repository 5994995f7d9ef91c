//! A browser: headless Chromium loads a page with a hundred images over HTTP/2. Where there is none
//! (`./test` installs it if it may), what it would show is not shown.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use testkit::Origin;

use super::{launch, port_of};
use crate::ok;

const IMAGES: usize = 100;
/// A browser that starts for the first time on a busy machine takes long.
const PATIENCE: Duration = Duration::from_secs(90);

/// No window, no network but this machine's, and nothing left of it afterwards.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--ignore-certificate-errors",
    "--virtual-time-budget=20000",
    "--dump-dom",
];

/// Once all is loaded, the page says how many images are the right ones, and what they came by.
const SCRIPT: &str = r#"
addEventListener("load", () => {
  const right = [...document.images].filter((image, n) => image.naturalWidth === n + 1).length;
  const entries = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
  const protocols = [...new Set(entries.map((entry) => entry.nextHopProtocol))].join();
  document.body.innerText = `right=${right} loaded=${entries.length} by=${protocols}.`;
});"#;

fn page() -> String {
    let images = (0..IMAGES).map(|number| format!("<img src=\"/image/{number}\">"));
    let images = images.collect::<Vec<_>>().concat();
    format!("<!doctype html><title>images</title><script>{SCRIPT}</script><body>{images}</body>")
}

/// An image as wide as its place, so that none passes for another; some in one piece, some in many.
fn image(number: usize) -> String {
    let filling = ".".repeat(number * number * 7);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"1\"><!--{filling}--></svg>",
        number + 1
    )
}

fn origin() -> Origin {
    Origin::start(|request, conn| {
        let number = request.target.strip_prefix("/image/").and_then(|number| number.parse().ok());
        let (media, body) = match number {
            Some(number) => ("image/svg+xml", image(number)),
            None => ("text/html", page()),
        };
        conn.send(ok(&format!("Cache-Control: max-age=600\r\nContent-Type: {media}\r\n"), &body));
    })
}

/// The page as the browser has it in the end; `None` if there is no browser.
fn browse(url: &str) -> Option<String> {
    let profile = TempDir::new().unwrap();
    let mut command = Command::new("chromium");
    command.args(FLAGS).arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
    // Its files go there, and all its processes can be ended together.
    command.env("HOME", profile.path()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut browser = match command.spawn() {
        Ok(browser) => browser,
        Err(error) => {
            eprintln!("NOT SHOWN, chromium cannot be run: {error}");
            return None;
        }
    };
    let mut printed = browser.stdout.take().unwrap();
    let (done, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let read = printed.read_to_string(&mut text);
        let _ = done.send(read.map(|_| text));
    });
    let text = ended.recv_timeout(PATIENCE);
    let _ = kill_process_group(Pid::from_child(&browser), Signal::KILL);
    browser.wait().unwrap();
    Some(text.expect("the browser came to an end").unwrap())
}

#[test]
fn a_page_with_a_hundred_images_is_loaded_over_http_2_and_then_from_the_cache() {
    let origin = origin();
    let directory = TempDir::new().unwrap();
    let proxy = launch(&directory, &origin.url()).arg("--tls-self-signed").start();
    let url = format!("https://127.0.0.1:{}/", port_of(&proxy.ready("tls_url").unwrap()));
    // Twice: each time by a browser that has nothing of it.
    for _ in 0..2 {
        let Some(text) = browse(&url) else { return };
        let expected = format!("right={IMAGES} loaded={} by=h2.", IMAGES + 1);
        assert!(text.contains(&expected), "{text}");
    }
    let mut asked = BTreeMap::new();
    for request in origin.requests() {
        *asked.entry(request.target).or_insert(0) += 1;
    }
    asked.remove("/favicon.ico");
    assert_eq!(asked.len(), IMAGES + 1, "{asked:?}");
    assert!(asked.values().all(|count| *count == 1), "{asked:?}");
}
