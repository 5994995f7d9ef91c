//! Fills the memory tier with responses and measures what they take.

use bytes::Bytes;
use policy::{Admit, Asked, Exchanged, Fields, Method, Rules, Terms, Timestamp, admit};
use proxy::StoredHead;
use store::{Key, Labels, Options, Store};

const NOW: Timestamp = Timestamp::from_secs(1_795_392_000);

/// Bytes, all for one object.
pub(crate) struct Measured {
    /// Head and body.
    pub(crate) content: f64,
    /// By the store's own figure.
    pub(crate) own: f64,
    /// By which the process grew.
    pub(crate) grown: f64,
}

/// Stores so many responses with bodies of this length. `None` if something fails, or where the
/// system does not tell what a process takes.
pub(crate) fn fill(objects: u64, length: u64, vary: Option<&str>) -> Option<Measured> {
    let store = Store::open(Options { memory: 64 << 30, ..Options::default() }).ok()?;
    // As it arrives in a read buffer.
    let body = Bytes::from(vec![b'x'; usize::try_from(length).ok()?]);
    let plain = terms(None)?;
    let (before, mut content) = (resident()?, 0);
    for number in 0..objects {
        // As the proxy does before it asks the origin.
        let labels = Labels::new(store.moment(), Vec::new());
        // With a Vary, each has its own, as it comes from its own request.
        let terms = if vary.is_some() { terms(vary)? } else { plain.clone() };
        let head = StoredHead::new(200, b"OK", &fields(number, vary), terms);
        let head = head.labelled(labels);
        content += head.http1_block().len() as u64 + length;
        let key = format!("http://example.com/static/images/{number:08}.jpg 127.0.0.1:8080");
        let mut fill = store.begin(Key::new(key.as_bytes()), head, Some(length)).ok()?;
        fill.try_write(&body).then_some(())?;
        fill.commit_now(b"").ok()?;
    }
    let (own, grown) = (store.stats().memory_bytes, resident()? - before);
    let each = |bytes: u64| bytes as f64 / objects as f64;
    Some(Measured { content: each(content), own: each(own), grown: each(grown) })
}

/// The fields of a response as they are: 300 bytes of date, server, type, validators and lifetime.
fn fields(number: u64, vary: Option<&str>) -> Fields {
    let tag = format!("\"{number:016x}-400\"");
    let lines = [
        ("Server", "nginx/1.28.0"),
        ("Date", "Sat, 28 Nov 2026 20:00:00 GMT"),
        ("Content-Type", "image/jpeg"),
        ("Last-Modified", "Mon, 02 Nov 2026 09:11:45 GMT"),
        ("ETag", &tag),
        ("Cache-Control", "public, max-age=31536000, immutable"),
        ("Accept-Ranges", "bytes"),
    ];
    let mut fields = received(lines.into_iter().chain(vary.map(|vary| ("Vary", vary))));
    fields.push(b"Via", b"1.1 caching-proxy");
    fields
}

/// The terms on which such a response is stored.
fn terms(vary: Option<&str>) -> Option<Terms> {
    let mut request = Fields::new();
    request.push(b"Accept-Encoding", b"gzip, deflate, br, zstd");
    let exchanged = Exchanged {
        method: &Method::Get,
        asked: &Asked::default(),
        request: &request,
        status: 200,
        response: &fields(0, vary),
        request_time: NOW,
        response_time: NOW,
    };
    match admit(&exchanged, &Rules::default()) {
        Admit::Store(terms) => Some(terms),
        Admit::DoNotStore(_) => None,
    }
}

/// These lines as they come from an origin: spans of a block.
fn received<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Fields {
    let (mut block, mut spans) = (String::with_capacity(512), Vec::with_capacity(16));
    for (name, value) in lines {
        let start = block.len() as u32;
        let (middle, length) = (start + name.len() as u32, value.len() as u32);
        block.extend([name, ": ", value, "\r\n"]);
        spans.push(((start, middle), (middle + 2, middle + 2 + length)));
    }
    let mut fields = Fields::new();
    fields.load(block.as_bytes(), spans.into_iter());
    fields
}

/// Resident bytes of this process.
fn resident() -> Option<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}
