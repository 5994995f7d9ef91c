//! RFC 9218: what is urgent comes first.

use super::*;

/// Large enough that windows and buffers take a small part of it.
const LENGTH: usize = 300_000;

fn site() -> (Origin, Site) {
    let origin = Origin::answering(ok(&"x".repeat(LENGTH)));
    let site = Site::before(&origin);
    // So that all of it is at hand from now on.
    let mut old = testkit::Client::connect(("127.0.0.1", site.address().port()));
    old.send("GET / HTTP/1.1\r\nHost: site.example\r\n\r\n");
    assert_eq!(old.response().body.len(), LENGTH);
    (origin, site)
}

/// A GET with this `priority`; without, if it is empty.
fn head(stream: u32, priority: &str) -> Frame {
    let more = [("priority", priority)];
    let more = if priority.is_empty() { &more[..0] } else { &more[..] };
    Frame::headers(stream, true, &[&GET[..], more].concat())
}

/// Asks for all of these at once, on a connection whose window is closed until all are there, and
/// says in which order the content comes: a stream for each DATA frame.
fn order(site: &Site, priorities: &[&str], between: &[Frame]) -> Vec<u32> {
    let mut frames = Frames::connect(site.address(), &[(4, 1 << 30)]);
    // Somebody takes the first window; nobody reads what is left of that.
    frames.send(&head(1, "u=7"));
    let mut first = 0;
    while first < 65_535 {
        let data = frames.next_of(kind::DATA).unwrap();
        first += data.payload.len();
    }
    frames.send(&Frame::new(kind::RST_STREAM, 0, 1).with([0, 0, 0, 8]));
    for (at, priority) in priorities.iter().enumerate() {
        frames.send(&head(at as u32 * 2 + 3, priority));
    }
    for frame in between {
        frames.send(frame);
    }
    assert!(frames.ping());
    frames.send(&Frame::new(kind::WINDOW_UPDATE, 0, 0).with((1_u32 << 30).to_be_bytes()));
    let mut order = Vec::new();
    let mut ended = 0;
    while ended < priorities.len() {
        let data = frames.next_of(kind::DATA).unwrap();
        ended += usize::from(data.flags & flag::END_STREAM != 0);
        if !data.payload.is_empty() {
            order.push(data.stream);
        }
    }
    order
}

/// The streams in the order of their last frames.
fn ends(order: &[u32]) -> Vec<u32> {
    let mut ends: Vec<u32> = Vec::new();
    for stream in order.iter().rev() {
        if !ends.contains(stream) {
            ends.push(*stream);
        }
    }
    ends.reverse();
    ends
}

/// How often another stream than before had its turn.
fn changes(order: &[u32]) -> usize {
    order.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn the_more_urgent_response_is_sent_first() {
    //= https://www.rfc-editor.org/rfc/rfc9218#section-10
    //= type=test
    //# It is RECOMMENDED that, when possible, servers respect the urgency parameter (Section 4.1),
    //# sending higher-urgency responses before lower-urgency responses.
    let (_origin, site) = site();
    let order = order(&site, &["u=5", "u=3", "u=1, i", "u=0"], &[]);
    assert_eq!(ends(&order), [9, 7, 5, 3]);
    // The last pieces of one are inside the codec together with the first of the next.
    assert!(changes(&order) <= 3 * 4, "{order:?}");
}

#[test]
fn equals_come_one_after_the_other_unless_they_are_incremental() {
    let (_origin, site) = site();
    //= https://www.rfc-editor.org/rfc/rfc9218#section-10
    //= type=test
    //# Non-incremental responses of the same urgency SHOULD be served by prioritizing bandwidth
    //# allocation in ascending order of the stream ID
    let one_by_one = order(&site, &["u=3", "u=3", "u=3"], &[]);
    assert_eq!(ends(&one_by_one), [3, 5, 7]);
    assert!(changes(&one_by_one) <= 2 * 4, "{one_by_one:?}");
    //= https://www.rfc-editor.org/rfc/rfc9218#section-10
    //= type=test
    //# Incremental responses of the same urgency SHOULD be served by sharing bandwidth among them.
    let shared = order(&site, &["u=3, i", "u=3, i"], &[]);
    assert!(changes(&shared) > shared.len() / 2, "{shared:?}");
    //= https://www.rfc-editor.org/rfc/rfc9218#section-10
    //= type=test
    //# It is RECOMMENDED that servers avoid such starvation where possible.
    let mixed = order(&site, &["u=3", "u=3, i"], &[]);
    assert!(changes(&mixed) > mixed.len() / 2, "{mixed:?}");
}

#[test]
fn a_priority_can_be_changed_before_and_after_the_request() {
    let (_origin, site) = site();
    let update = |stream: u8, value: &str| {
        let payload = [&[0, 0, 0, stream], value.as_bytes()].concat();
        Frame::new(kind::PRIORITY_UPDATE, 0, 0).with(payload)
    };
    let order = order(&site, &["u=3", "u=3", "u=3"], &[update(7, "u=0"), update(3, "u=6")]);
    assert_eq!(ends(&order), [7, 5, 3]);
}

#[test]
fn an_update_about_no_stream_closes_the_connection() {
    //= https://www.rfc-editor.org/rfc/rfc9218#section-7.1
    //= type=test
    //# If a PRIORITY_UPDATE frame is received with a prioritized stream ID of 0x0, the recipient MUST
    //# respond with a connection error of type PROTOCOL_ERROR.
    let (_origin, site) = site();
    for frame in [
        Frame::new(kind::PRIORITY_UPDATE, 0, 0).with(*b"\0\0\0\0u=1"),
        Frame::new(kind::PRIORITY_UPDATE, 0, 1).with(*b"\0\0\0\x01u=1"),
    ] {
        let mut frames = site.frames();
        frames.send(&frame);
        assert_eq!(frames.goaway(), Some(1));
    }
}
