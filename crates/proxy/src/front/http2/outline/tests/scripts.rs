//! Requests of a client that always has some under way, as bytes and as what they say.

use std::sync::Arc;

use h2::RecvStream;
use h2::server::SendResponse;
use tokio::io::ReadBuf;

use super::encoder::{Dice, Encoder, Field, owned};
use crate::front::http2::faults::Faults;
use crate::front::http2::meter::{Meter, PREFACE};
use crate::front::http2::turns::Turns;
use crate::settings::Http2Limits;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;
/// Less than a frame may have.
const PIECE: usize = 16_000;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend([kind, flags]);
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

pub(super) fn preface() -> Vec<u8> {
    [PREFACE, &frame(4, 0, 0, &[])].concat()
}

/// How many streams have been ended by frames that are whole.
pub(super) fn ends(bytes: &[u8]) -> usize {
    let mut rest = bytes.strip_prefix(PREFACE).unwrap_or_default();
    let mut ends = 0;
    while let Some(([a, b, c, kind, flags, ..], _)) = rest.split_first_chunk::<9>()
        && let Some(next) = rest.get(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..)
    {
        ends += usize::from(*kind <= HEADERS && flags & END_STREAM != 0);
        rest = next;
    }
    ends
}

/// One request.
pub(super) struct Request {
    pub(super) stream: u32,
    head: Vec<Field>,
    trailers: Vec<Field>,
}

/// The same as the codec reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) stream: u32,
    head: Vec<Field>,
    trailers: Vec<Field>,
}

impl Request {
    pub(super) fn is_malformed(&self) -> bool {
        self.trailers.iter().any(|(name, _)| name.starts_with(b":"))
    }

    pub(super) fn as_read(&self) -> Read {
        let regular = self.trailers.iter().filter(|(name, _)| !name.starts_with(b":"));
        let (mut head, mut trailers) = (self.head.clone(), regular.cloned().collect::<Vec<_>>());
        head.sort();
        trailers.sort();
        Read { stream: self.stream, head, trailers }
    }
}

/// What the codec makes of a request.
pub(super) async fn read(
    request: http::Request<RecvStream>,
    _respond: SendResponse<bytes::Bytes>,
) -> Read {
    let (parts, mut content) = request.into_parts();
    let mut head = list(&parts.headers);
    head.push(owned(":method", parts.method.as_str()));
    head.push(owned(":scheme", parts.uri.scheme_str().unwrap()));
    head.push(owned(":authority", parts.uri.authority().unwrap().as_str()));
    head.push(owned(":path", parts.uri.path()));
    head.sort();
    let stream = content.stream_id().as_u32();
    while let Some(data) = content.data().await {
        content.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    let mut trailers = list(&content.trailers().await.unwrap().unwrap());
    trailers.sort();
    Read { stream, head, trailers }
}

fn list(map: &http::HeaderMap) -> Vec<Field> {
    map.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

/// What a client does on one connection, behind its preface.
pub(super) struct Script {
    pub(super) bytes: Vec<u8>,
    pub(super) requests: Vec<Request>,
    pub(super) encoder: Encoder,
}

impl Script {
    pub(super) fn of(dice: &mut Dice, requests: u32) -> Self {
        let mut script = Self { bytes: vec![], requests: vec![], encoder: Encoder::new() };
        let mut said = Vec::new();
        let mut open = Vec::new();
        for number in 0..requests {
            let request = Request {
                stream: 2 * number + 1,
                head: [control(dice), again(dice, &mut said)].concat(),
                trailers: trailers(dice, &mut said),
            };
            script.block(dice, request.stream, 0, &request.head);
            open.push(request);
            while open.len() > 3 || (number + 1 == requests && !open.is_empty()) {
                let request = open.swap_remove(dice.below(open.len()));
                if dice.one_in(2) {
                    let data = frame(DATA, 0, request.stream, &vec![b'x'; 1 + dice.below(50)]);
                    script.bytes.extend(data);
                }
                script.block(dice, request.stream, END_STREAM, &request.trailers);
                script.requests.push(request);
            }
        }
        script.requests.sort_by_key(|request| request.stream);
        script
    }

    fn block(&mut self, dice: &mut Dice, stream: u32, flags: u8, fields: &[Field]) {
        let block = self.encoder.block(dice, fields);
        let size = (1 + dice.below(block.len() + 1)).max(block.len() / 5 + 1).min(PIECE);
        let mut pieces = block.chunks(size);
        let mut piece = pieces.next().unwrap_or_default();
        let (mut kind, mut flags) = (HEADERS, flags);
        let mut payload = Vec::new();
        let padding = dice.below(256);
        if dice.one_in(3) {
            flags |= PADDED;
            payload.push(padding as u8);
        }
        if dice.one_in(3) {
            flags |= PRIORITY;
            payload.extend([0x80, 0, 0, 0, 7]);
        }
        payload.extend(piece);
        if flags & PADDED != 0 {
            payload.extend(vec![0; padding]);
        }
        loop {
            let next = pieces.next();
            if next.is_none() {
                flags |= END_HEADERS;
            }
            self.bytes.extend(frame(kind, flags, stream, &payload));
            let Some(next) = next else { return };
            piece = next;
            (kind, flags, payload) = (CONTINUATION, 0, piece.to_vec());
        }
    }
}

/// The pseudo-fields of a request.
fn control(dice: &mut Dice) -> Vec<Field> {
    let path = format!("/{}", text(dice, b"abcxyz019-_~", 20));
    let paths = ["/", "/index.html", &path];
    vec![
        owned(":method", dice.of(&["GET", "POST", "PATCH", "BREW"])),
        owned(":scheme", dice.of(&["http", "https"])),
        owned(":authority", dice.of(&["site.example", "a.example:81"])),
        owned(":path", dice.of(&paths)),
    ]
}

fn trailers(dice: &mut Dice, said: &mut Vec<Field>) -> Vec<Field> {
    let mut trailers = Vec::new();
    if dice.one_in(3) {
        let pseudo = [control(dice), vec![owned(":status", "200")]].concat();
        let first = dice.below(pseudo.len());
        trailers.extend_from_slice(&pseudo[first..=first + dice.below(pseudo.len() - first)]);
    }
    trailers.extend(again(dice, said));
    trailers
}

/// Some fields, about half of which have been said before.
fn again(dice: &mut Dice, said: &mut Vec<Field>) -> Vec<Field> {
    let mut fields = fields(dice);
    for field in &mut fields {
        if !said.is_empty() && dice.one_in(2) {
            *field = said[dice.below(said.len())].clone();
        } else {
            said.push(field.clone());
        }
    }
    fields
}

/// Some fields that are none of the proxy's business.
pub(super) fn fields(dice: &mut Dice) -> Vec<Field> {
    (0..dice.below(4)).map(|_| field(dice)).collect()
}

fn field(dice: &mut Dice) -> Field {
    let known = ["accept-encoding", "cache-control", "cookie", "user-agent", "www-authenticate"];
    let long = dice.of(&[1, 3, 20, 90]);
    let name = format!("x{}", text(dice, b"abcdefghijklmnopqrstuvwxyz0123456789-", long));
    let name = if dice.one_in(2) { dice.of(&known).to_owned() } else { name };
    let all: Vec<u8> = (b' '..=b'~').chain(0x80..=0xff).collect();
    let octets = dice.of(&[&all[..], b"0123456789", b"gzip, deflate"]);
    let long = dice.of(&[1, 2, 8, 8, 30, 30, 30, 300, 300, 4200]);
    (name.into_bytes(), (0..dice.below(long)).map(|_| dice.of(octets)).collect())
}

fn text(dice: &mut Dice, of: &[u8], most: usize) -> String {
    (0..dice.below(most)).map(|_| char::from(dice.of(of))).collect()
}

/// A connection as its meter sees it.
pub(super) struct Met {
    meter: Meter,
    turns: Arc<Turns>,
    pub(super) faults: Arc<Faults>,
}

impl Met {
    /// One that has not said anything.
    pub(super) fn new() -> Self {
        let meter = Meter::new(&Http2Limits::default());
        let faults = meter.faults();
        Self { meter, turns: Turns::new(), faults }
    }

    /// One that has been greeted.
    pub(super) fn greeted() -> Self {
        let mut met = Self::new();
        met.receive(&mut Dice::new(1), &preface());
        met
    }

    /// Some bytes, in pieces: what the codec gets of them.
    pub(super) fn receive(&mut self, dice: &mut Dice, mut bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let most = dice.of(&[2, 10, 1000, 100_000]);
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at((1 + dice.below(most)).min(bytes.len()));
            let seen = self.meter.received(part, 0, &self.turns);
            assert_eq!(self.meter.abuse(), None);
            out.extend(&part[..seen]);
            let mut room = vec![0; 1 + dice.below(most)];
            let mut buf = ReadBuf::new(&mut room);
            while self.meter.hand_over(&mut buf) {
                out.extend(buf.filled());
                buf.clear();
            }
            bytes = rest;
        }
        out
    }
}
