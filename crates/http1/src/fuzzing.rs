//! What must hold for any bytes. The fuzz targets and the property tests call the same functions;
//! each panics when its property does not hold.

use crate::{
    Answered, BadRequest, BadResponse, BodyDecoder, BodyEvent, FieldSpan, Framing, Limits,
    Progress, RequestHead, ResponseHead, Span, Version, decode_request, decode_response, encode,
};
use bytes::BytesMut;

/// Most cuts tried of one input; beyond, every n-th one is.
const CUTS: usize = 512;

/// Limits that short inputs can exceed.
pub fn tight() -> Limits {
    Limits {
        head: 160,
        field: 48,
        fields: 4,
        request_line: 40,
        chunk_line: 12,
        chunk_extensions: 20,
        trailers: 48,
    }
}

/// Limits that no test input exceeds.
fn loose() -> Limits {
    Limits { head: 1 << 24, field: 1 << 24, fields: 1 << 16, request_line: 1 << 24, ..tight() }
}

/// The indices at which to cut `data`.
fn cuts(data: &[u8]) -> impl Iterator<Item = usize> {
    let step = 1 + data.len() / CUTS;
    (0..=data.len()).step_by(step)
}

/// A request head: spans lie inside, reads do not matter, and writing it and reading it again
/// gives the same.
pub fn request_head(data: &[u8]) {
    for limits in [Limits::default(), tight()] {
        let (whole, fields) = request(data, &limits);
        for cut in cuts(data) {
            let (part, part_fields) = request(&data[..cut], &limits);
            match (part, whole) {
                (Ok(Progress::Partial), Ok(Progress::Complete(head))) => assert!(cut < head.len),
                (Ok(Progress::Partial), _) => {}
                _ => assert_eq!((part, &part_fields), (whole, &fields), "cut at {cut}"),
            }
        }
        if let Ok(Progress::Complete(head)) = whole {
            check_request(data, &head, &fields, &limits);
        }
    }
}

fn request(
    data: &[u8],
    limits: &Limits,
) -> (Result<Progress<RequestHead>, BadRequest>, Vec<FieldSpan>) {
    let mut fields = Vec::new();
    let result = decode_request(data, limits, &mut fields);
    (result, fields)
}

fn check_request(data: &[u8], head: &RequestHead, fields: &[FieldSpan], limits: &Limits) {
    assert!(head.len <= data.len().min(limits.head));
    assert!(fields.len() <= limits.fields);
    for span in [head.method, head.target, head.authority, head.path] {
        assert_inside(span, head.len);
    }
    assert!(head.framing != Framing::UntilClose);
    assert!(!head.target.is_empty() && !head.method.is_empty());
    check_fields(data, head.len, fields);
    if head.version == Version::Http11 {
        check_written_request(data, head, fields);
    }
}

fn check_written_request(data: &[u8], head: &RequestHead, fields: &[FieldSpan]) {
    let mut out = Vec::new();
    encode::request_line(&mut out, head.method.of(data), head.target.of(data));
    write_fields(&mut out, data, fields);
    let (again, again_fields) = request(&out, &loose());
    let Ok(Progress::Complete(again)) = again else { panic!("{again:?}: {:?}", text(&out)) };
    assert_eq!(again.len, out.len());
    let parts = |of: &RequestHead| [of.method, of.target, of.authority, of.path];
    for (then, now) in parts(head).iter().zip(&parts(&again)) {
        assert_eq!(then.of(data), now.of(&out));
    }
    let rest = |of: &RequestHead| {
        (of.form, of.version, of.framing, of.persistent, of.expects_continue, of.upgrade)
    };
    assert_eq!(rest(head), rest(&again));
    assert_eq!(named(data, fields), named(&out, &again_fields));
    let mut headers = vec![httparse::EMPTY_HEADER; fields.len()];
    let mut other = httparse::Request::new(&mut headers);
    assert_eq!(other.parse(&out), Ok(httparse::Status::Complete(out.len())));
    assert_eq!(other.method.map(str::as_bytes), Some(head.method.of(data)));
    assert_eq!(other.path.map(str::as_bytes), Some(head.target.of(data)));
    assert_eq!(other.headers.len(), fields.len());
}

/// A response head, with the same properties; the first byte says which method it answers.
pub fn response_head(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else { return };
    let answered = match which % 3 {
        0 => Answered::Other,
        1 => Answered::Head,
        _ => Answered::Connect,
    };
    for limits in [Limits::default(), tight()] {
        let (whole, fields) = response(data, &limits, answered);
        for cut in cuts(data) {
            let (part, part_fields) = response(&data[..cut], &limits, answered);
            match (part, whole) {
                (Ok(Progress::Partial), Ok(Progress::Complete(head))) => assert!(cut < head.len),
                (Ok(Progress::Partial), _) => {}
                _ => assert_eq!((part, &part_fields), (whole, &fields), "cut at {cut}"),
            }
        }
        if let Ok(Progress::Complete(head)) = whole {
            check_response(data, &head, &fields, answered);
        }
    }
}

fn response(
    data: &[u8],
    limits: &Limits,
    answered: Answered,
) -> (Result<Progress<ResponseHead>, BadResponse>, Vec<FieldSpan>) {
    let mut fields = Vec::new();
    let result = decode_response(data, limits, answered, &mut fields);
    (result, fields)
}

fn check_response(data: &[u8], head: &ResponseHead, fields: &[FieldSpan], answered: Answered) {
    assert!(head.len <= data.len());
    assert!((100..600).contains(&head.status));
    assert_inside(head.reason, head.len);
    assert!(!(head.persistent && head.framing == Framing::UntilClose));
    check_fields(data, head.len, fields);
    let mut out = Vec::new();
    encode::status_line(&mut out, head.status, head.reason.of(data));
    write_fields(&mut out, data, fields);
    if head.version == Version::Http10 {
        return;
    }
    let (again, again_fields) = response(&out, &loose(), answered);
    let Ok(Progress::Complete(again)) = again else { panic!("{again:?}: {:?}", text(&out)) };
    assert_eq!(again.len, out.len());
    assert_eq!(again.reason.of(&out), head.reason.of(data));
    let rest = |of: &ResponseHead| (of.status, of.framing, of.persistent);
    assert_eq!(rest(&again), rest(head));
    assert_eq!(named(data, fields), named(&out, &again_fields));
}

fn assert_inside(span: Span, len: usize) {
    assert!(span.start <= span.end && span.end as usize <= len, "{span:?} in {len}");
}

fn check_fields(data: &[u8], len: usize, fields: &[FieldSpan]) {
    for field in fields {
        assert_inside(field.name, len);
        assert_inside(field.value, len);
        let (name, value) = (field.name.of(data), field.value.of(data));
        assert!(!name.is_empty() && name.is_ascii());
        assert_eq!(value, value.trim_ascii());
        assert!(!value.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t'));
    }
}

fn write_fields(out: &mut Vec<u8>, data: &[u8], fields: &[FieldSpan]) {
    for field in fields {
        encode::field(out, field.name.of(data), field.value.of(data));
    }
    encode::end_of_head(out);
}

fn named<'a>(data: &'a [u8], fields: &[FieldSpan]) -> Vec<(&'a [u8], &'a [u8])> {
    fields.iter().map(|field| (field.name.of(data), field.value.of(data))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that a body decoder made of its input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The content, all pieces together.
    pub content: Vec<u8>,
    /// The trailer fields.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the message ended.
    pub complete: bool,
    /// The code of the fault that stopped it.
    pub fault: Option<&'static str>,
    /// The bytes taken, unless there was a fault.
    pub taken: usize,
}

/// Decodes `pieces`, which arrive one after the other.
pub fn decode_body<'a>(
    framing: Framing,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Decoded {
    let mut body = BodyDecoder::new(framing, limits);
    let mut decoded = Decoded::default();
    let mut buf = BytesMut::new();
    let mut received = 0;
    for piece in pieces {
        buf.extend_from_slice(piece);
        received += piece.len();
        while decoded.fault.is_none() && take_event(&mut body, &mut buf, &mut decoded) {}
    }
    decoded.complete = body.is_complete();
    if decoded.fault.is_none() {
        decoded.taken = received - buf.len();
        // A trailer section stays in the buffer until it is whole.
        assert!(decoded.complete || buf.len() < limits.trailers, "{} bytes untouched", buf.len());
    }
    decoded
}

/// Takes one event; whether there may be more.
fn take_event(body: &mut BodyDecoder, buf: &mut BytesMut, decoded: &mut Decoded) -> bool {
    match body.decode(buf) {
        Ok(BodyEvent::NeedMore) => return false,
        Ok(BodyEvent::Data(data)) => {
            assert!(!data.is_empty());
            decoded.content.extend_from_slice(&data);
        }
        Ok(BodyEvent::Trailers(trailers)) => {
            assert!(!trailers.fields.is_empty());
            let owned = trailers.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
            decoded.trailers.extend(owned);
        }
        Ok(BodyEvent::End) => {
            assert!(body.is_complete());
            return false;
        }
        Err(fault) => {
            assert_eq!(body.decode(buf), Err(fault), "an error is final");
            decoded.fault = Some(fault.code());
        }
    }
    true
}

/// A chunked body: every split point, and byte after byte, give the same as all at once; what was
/// understood survives writing it again.
pub fn chunked(data: &[u8]) {
    for limits in [Limits::default(), tight()] {
        let whole = decode_body(Framing::Chunked, &limits, [data]);
        assert!(whole.taken <= data.len());
        for cut in cuts(data) {
            let (first, second) = data.split_at(cut);
            let split = decode_body(Framing::Chunked, &limits, [first, second]);
            assert_eq!(split, whole, "cut at {cut}");
        }
        let dribbled = decode_body(Framing::Chunked, &limits, data.chunks(1));
        assert_eq!(dribbled, whole);
        if whole.complete {
            check_written_chunks(&whole);
        }
    }
}

fn check_written_chunks(decoded: &Decoded) {
    let mut out = Vec::new();
    for chunk in decoded.content.chunks(5) {
        encode::chunk_start(&mut out, chunk.len());
        out.extend_from_slice(chunk);
        out.extend_from_slice(encode::CHUNK_END);
    }
    encode::last_chunk(&mut out, decoded.trailers.iter().map(|(n, v)| (&n[..], &v[..])));
    let limits = Limits { trailers: 1 << 20, ..Limits::default() };
    let again = decode_body(Framing::Chunked, &limits, [&out[..]]);
    assert_eq!(again, Decoded { taken: out.len(), ..decoded.clone() });
}

/// One request of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Decoded,
}

/// What a connection brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    pub requests: Vec<Received>,
    /// The code of the fault after which nothing was read.
    pub fault: Option<&'static str>,
}

/// Reads requests from a connection as a server does.
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    buf: BytesMut,
    body: Option<BodyDecoder>,
    last: bool,
    seen: Conversation,
}

impl Connection {
    /// A connection on which nothing has arrived.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buf: BytesMut::new(),
            body: None,
            last: false,
            seen: Conversation::default(),
        }
    }

    /// Everything that `pieces` bring.
    pub fn read<'a>(mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Conversation {
        for piece in pieces {
            self.buf.extend_from_slice(piece);
            while self.advance() {}
        }
        self.seen
    }

    /// Takes one step; whether there may be another.
    fn advance(&mut self) -> bool {
        if self.seen.fault.is_some() {
            return false;
        }
        match self.body.take() {
            Some(body) => self.advance_body(body),
            None if self.last => false,
            None => self.advance_head(),
        }
    }

    fn advance_head(&mut self) -> bool {
        let mut fields = Vec::new();
        match decode_request(&self.buf, &self.limits, &mut fields) {
            Ok(Progress::Partial) => false,
            Ok(Progress::Complete(head)) => {
                self.seen.requests.push(Received {
                    method: head.method.of(&self.buf).to_vec(),
                    target: head.target.of(&self.buf).to_vec(),
                    fields: named(&self.buf, &fields)
                        .into_iter()
                        .map(|(name, value)| (name.to_vec(), value.to_vec()))
                        .collect(),
                    body: Decoded::default(),
                });
                self.last = !head.persistent || head.form == crate::TargetForm::Authority;
                self.body = Some(BodyDecoder::new(head.framing, &self.limits));
                let _head = self.buf.split_to(head.len);
                true
            }
            Err(fault) => {
                self.seen.fault = Some(fault.code());
                false
            }
        }
    }

    fn advance_body(&mut self, mut body: BodyDecoder) -> bool {
        let Some(request) = self.seen.requests.last_mut() else { return false };
        let more = take_event(&mut body, &mut self.buf, &mut request.body);
        self.seen.fault = request.body.fault;
        request.body.complete = body.is_complete();
        if more || !body.is_complete() {
            self.body = Some(body);
            return more;
        }
        true
    }
}

/// A connection: any split of its bytes gives the same requests and the same end.
pub fn connection(data: &[u8]) {
    for limits in [Limits::default(), tight()] {
        let whole = Connection::new(limits).read([data]);
        for cut in cuts(data) {
            let (first, second) = data.split_at(cut);
            assert_eq!(Connection::new(limits).read([first, second]), whole, "cut at {cut}");
        }
        if data.len() <= 4 * CUTS {
            for size in [1, 7] {
                assert_eq!(Connection::new(limits).read(data.chunks(size)), whole);
            }
        }
    }
}
