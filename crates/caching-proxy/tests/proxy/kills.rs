//! What is found after a kill in the middle of everything: small bodies, large ones, new metadata for
//! them, evictions, unsafe requests, cache groups, purges.
//!
//! `KILLS=500 cargo test -p caching-proxy --test proxy no_kill_at_full_load` goes on for longer.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use testkit::{Client, Conn, Origin, Received, Response};

use crate::purging::purge;
use crate::{Proxy, cache, millis};

/// Clients at once, each with resources that no other one asks for.
const CLIENTS: usize = 6;
const RESOURCES: usize = 80;
/// Those of one client that have the same remainder are a cache group, except the first of these.
const GROUPS: usize = 3;

/// What the origin has: each resource in a generation that rises when it is changed.
struct Site {
    generations: Vec<AtomicU64>,
    /// How often it said that what is stored is right.
    confirmed: AtomicU64,
}

/// A request, by the client that sends it and the number of its resource or group.
#[derive(Clone, Copy)]
enum Ask {
    Get(usize),
    /// Whatever is stored, the origin has to be asked about it.
    Confirm(usize),
    Change(usize),
    End(usize),
}

/// One client and what it has been told.
struct Asker {
    number: usize,
    site: Arc<Site>,
    /// For each of its resources, the generation before which nothing may be served any more.
    oldest: Vec<u64>,
    step: u64,
    hits: usize,
    changes: usize,
}

fn path(client: usize, resource: usize) -> String {
    format!("/{client}/{resource}")
}

/// Small bodies for the most part, some that are too large to stay in memory.
fn length(resource: usize) -> usize {
    match resource % 80 {
        7 => 1_300_000,
        8..12 => 60_000,
        _ => 200 + 17 * resource,
    }
}

/// A body that says what it is all along.
fn body(path: &str, generation: u64, length: usize) -> Vec<u8> {
    let line = format!("{path} in generation {generation}, {length} bytes\n");
    line.bytes().cycle().take(length).collect()
}

impl Site {
    fn new() -> Arc<Self> {
        let generations = (0..CLIENTS * RESOURCES).map(|_| AtomicU64::new(1)).collect();
        Arc::new(Self { generations, confirmed: AtomicU64::new(0) })
    }

    fn generation(&self, client: usize, resource: usize) -> &AtomicU64 {
        &self.generations[client * RESOURCES + resource]
    }

    /// Changes all that one client asks for; returns the generations from then on.
    fn change_all(&self, client: usize) -> Vec<u64> {
        let change =
            |resource| 1 + self.generation(client, resource).fetch_add(1, Ordering::SeqCst);
        (0..RESOURCES).map(change).collect()
    }

    fn answer(&self, request: &Received, conn: &mut Conn) {
        let mut numbers = request.target.split('/').filter_map(|part| part.parse().ok());
        let (client, number) = (numbers.next().unwrap(), numbers.next().unwrap());
        if request.target.starts_with("/end/") {
            for resource in members(number) {
                self.generation(client, resource).fetch_add(1, Ordering::SeqCst);
            }
            let group = format!("Cache-Group-Invalidation: \"{client}-{number}\"\r\n");
            conn.send(format!("HTTP/1.1 204 No Content\r\n{group}\r\n"));
        } else if request.method == "POST" {
            self.generation(client, number).fetch_add(1, Ordering::SeqCst);
            conn.send("HTTP/1.1 204 No Content\r\n\r\n");
        } else {
            let generation = self.generation(client, number).load(Ordering::SeqCst);
            let group = match number % GROUPS {
                0 => String::new(),
                group => format!("Cache-Groups: \"{client}-{group}\"\r\n"),
            };
            let tag = format!("\"{generation}\"");
            let head = format!("Cache-Control: max-age=3600\r\nETag: {tag}\r\n{group}");
            if request.field("If-None-Match") == Some(&tag) {
                let count = 1 + self.confirmed.fetch_add(1, Ordering::SeqCst);
                let said = format!("Generation: {generation}\r\nConfirmed: {count}\r\n");
                conn.send(format!("HTTP/1.1 304 Not Modified\r\n{head}{said}\r\n"));
                return;
            }
            let body = body(&request.target, generation, length(number));
            let length = body.len();
            let said = format!("Generation: {generation}\r\nContent-Length: {length}\r\n");
            conn.send(format!("HTTP/1.1 200 OK\r\n{head}{said}\r\n"));
            conn.send(body);
        }
    }
}

fn members(group: usize) -> impl Iterator<Item = usize> {
    (0..RESOURCES).filter(move |resource| resource % GROUPS == group)
}

impl Asker {
    fn new(number: usize, site: &Arc<Site>) -> Self {
        let step = number as u64 + 1;
        let oldest = vec![1; RESOURCES];
        Self { number, site: Arc::clone(site), oldest, step, hits: 0, changes: 0 }
    }

    /// Asks for this and that until the proxy is gone.
    fn work(&mut self, mut client: Client) {
        loop {
            let resource = self.chance(0..RESOURCES);
            let ask = match self.chance(0..100) {
                0..60 => Ask::Get(resource),
                60..75 => Ask::Confirm(resource),
                75..97 => Ask::Change(resource),
                _ => Ask::End(1 + resource % (GROUPS - 1)),
            };
            if self.ask(&mut client, ask).is_none() {
                return;
            }
        }
    }

    /// Asks for all there is.
    fn look(&mut self, mut client: Client) {
        self.hits = 0;
        for resource in 0..RESOURCES {
            self.ask(&mut client, Ask::Get(resource)).unwrap();
        }
    }

    /// Numbers that look like chance.
    fn chance(&mut self, among: Range<usize>) -> usize {
        self.step =
            self.step.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        among.start + (self.step >> 33) as usize % among.len()
    }

    /// Sends a request and judges the answer; `None` if there was none.
    fn ask(&mut self, client: &mut Client, ask: Ask) -> Option<()> {
        let (method, target) = match ask {
            Ask::Get(resource) | Ask::Confirm(resource) => ("GET", path(self.number, resource)),
            Ask::Change(resource) => ("POST", path(self.number, resource)),
            Ask::End(group) => ("POST", format!("/end/{}/{group}", self.number)),
        };
        let field = match ask {
            Ask::Get(_) => "",
            Ask::Confirm(_) => "Cache-Control: no-cache\r\n",
            Ask::Change(_) | Ask::End(_) => "Content-Length: 0\r\n",
        };
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: site.example\r\n{field}\r\n"));
        let answer = client.try_response_to(method).ok().filter(|answer| answer.complete)?;
        match ask {
            Ask::Get(resource) | Ask::Confirm(resource) => self.judge(resource, &target, &answer),
            Ask::Change(resource) => self.changed(resource),
            Ask::End(group) => members(group).for_each(|resource| self.changed(resource)),
        }
        Some(())
    }

    /// From now on the proxy has been told, and has said so.
    fn changed(&mut self, resource: usize) {
        self.changes += 1;
        let now = self.site.generation(self.number, resource).load(Ordering::SeqCst);
        self.oldest[resource] = now;
    }

    fn judge(&mut self, resource: usize, target: &str, answer: &Response) {
        assert_eq!(answer.status, 200, "{target}");
        let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(80)]).into_owned();
        let of = text.strip_prefix(&format!("{target} in generation "));
        let generation = of.and_then(|rest| rest.split_once(',')?.0.parse().ok()).unwrap_or(0);
        assert!(answer.body == body(target, generation, length(resource)), "{target}: {text}");
        // The metadata is that of the body, whenever it was confirmed.
        assert_eq!(answer.field("Generation"), Some(&*generation.to_string()), "{target}");
        let (oldest, from) = (self.oldest[resource], cache(answer));
        assert!(generation >= oldest, "{target}: {generation} after {oldest}, a {from}");
        self.hits += usize::from(from == "HIT");
    }
}

/// How many kills, unless somebody wants more.
fn kills() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is its caller's choice")]
    let wanted = std::env::var("KILLS");
    wanted.map_or(6, |kills| kills.parse().expect("a number of kills"))
}

#[test]
fn no_kill_at_full_load_brings_back_what_was_gone_or_mixes_what_was_there() {
    let site = Site::new();
    let of_origin = Arc::clone(&site);
    let origin = Origin::start(move |request, conn| of_origin.answer(request, conn));
    // Hardly more than all of it, so that there is always something to give up.
    let mut proxy = Proxy::with(&origin, &["--memory", "4MiB", "--disk", "12MiB"]);
    let mut askers: Vec<_> = (0..CLIENTS).map(|number| Asker::new(number, &site)).collect();
    let mut hits = 0;
    for round in 0..kills() {
        if round % 2 == 1 {
            // All that is kept is on disk then: what is changed from now on must not come back.
            proxy.terminate();
            proxy.start();
        }
        let clients: Vec<_> = askers.iter().map(|_| proxy.client()).collect();
        let (purged, mut oldest) = (round as usize % CLIENTS, Vec::new());
        thread::scope(|scope| {
            for (asker, client) in askers.iter_mut().zip(clients) {
                scope.spawn(|| asker.work(client));
            }
            // Each round dies at another moment of the work.
            thread::sleep(millis(20 + round * 71 % 300));
            let changed = site.change_all(purged);
            let prefix = format!("http://site.example/{purged}/");
            assert_eq!(purge(&proxy, &["--prefix", &prefix]).code, Some(0));
            oldest = changed;
            thread::sleep(millis(round * 37 % 100));
            proxy.kill9();
        });
        // What came from the origin before the purge was right then, and is not any more.
        for (before, now) in askers[purged].oldest.iter_mut().zip(oldest) {
            *before = now.max(*before);
        }
        let changes: usize = askers.iter().map(|asker| asker.changes).sum();
        proxy.start();
        thread::scope(|scope| {
            for asker in &mut askers {
                let client = proxy.client();
                scope.spawn(|| asker.look(client));
            }
        });
        let kept: usize = askers.iter().map(|asker| asker.hits).sum();
        println!(
            "kill {round}: {kept} of {} had been kept, {changes} changes",
            CLIENTS * RESOURCES
        );
        hits += kept;
    }
    assert!(hits > 0, "nothing was ever kept");
    println!("{} confirmed", site.confirmed.load(Ordering::SeqCst));
    assert!(site.confirmed.load(Ordering::SeqCst) > 0, "nothing was ever confirmed");
    assert!(!proxy.binary().stderr().contains("panic"));
}
