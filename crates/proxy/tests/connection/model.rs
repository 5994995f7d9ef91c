//! What an origin may see of the bytes that a client sends: an own, slow and literal reading of
//! RFC 9112. Whatever it does not understand, and all that follows, the origin must never see.

/// A request, as far as an origin is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// Its end was reached.
    pub(crate) complete: bool,
}

/// The requests in these bytes, of which the last may not be complete, and the bytes behind them.
pub(crate) fn requests(mut bytes: &[u8]) -> (Vec<Request>, &[u8]) {
    let mut requests: Vec<Request> = Vec::new();
    while requests.last().is_none_or(|last| last.complete)
        && let Some((request, rest)) = request(bytes)
    {
        requests.push(request);
        bytes = rest;
    }
    (requests, bytes)
}

/// The first request, and what follows it. `None` if its head is not there or not right.
fn request(bytes: &[u8]) -> Option<(Request, &[u8])> {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let end = bytes.windows(4).position(|part| part == b"\r\n\r\n")?;
    let (head, rest) = (&bytes[..end], &bytes[end + 4..]);
    let mut lines = split(head);
    let (method, target, version) = request_line(lines.next()?)?;
    let fields: Vec<_> = lines.map(field).collect::<Option<_>>()?;
    let hosts = fields.iter().filter(|(name, _)| name == b"host").count();
    if hosts > 1 || (hosts == 0 && version > 0) {
        return None;
    }
    let (content, complete, rest) = content(&fields, version, rest)?;
    let (method, target) = (method.to_vec(), target_at_origin(target)?);
    Some((Request { method, target, content, complete }, rest))
}

/// The lines of a head; a CR or LF that ends none stays in its line.
fn split(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(head);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.windows(2).position(|pair| pair == b"\r\n");
        rest = end.map(|end| &all[end + 2..]);
        Some(&all[..end.unwrap_or(all.len())])
    })
}

/// Method, target, and the minor version.
fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], u8)> {
    let parts: Vec<_> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let &[b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] = version else {
        return None;
    };
    let visible = |byte: &u8| (0x21..0x7f).contains(byte);
    let is_right = is_token(method) && !target.is_empty() && target.iter().all(visible);
    is_right.then_some((method, target, minor - b'0'))
}

fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}

/// Name, in lower case, and value.
fn field(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    let is_right = is_token(name) && !value.iter().any(is_control);
    is_right.then(|| (name.to_ascii_lowercase(), value.trim_ascii()))
}

fn target_at_origin(target: &[u8]) -> Option<Vec<u8>> {
    if target == b"*" || target.starts_with(b"/") {
        return Some(target.to_vec());
    }
    let lower = target.to_ascii_lowercase();
    let scheme = [&b"http://"[..], b"https://"].into_iter().find(|it| lower.starts_with(it))?;
    let rest = &target[scheme.len()..];
    let path = rest.iter().position(|byte| b"/?".contains(byte)).map_or(&b""[..], |at| &rest[at..]);
    let slash: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    Some([slash, path].concat())
}

/// The content, whether it is complete, and what follows it. `None` if where it ends is not sure.
fn content<'a>(
    fields: &[(Vec<u8>, &[u8])],
    version: u8,
    rest: &'a [u8],
) -> Option<(Vec<u8>, bool, &'a [u8])> {
    let all = |wanted: &[u8]| -> Vec<&[u8]> {
        fields.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value).collect()
    };
    match (&all(b"transfer-encoding")[..], &all(b"content-length")[..]) {
        ([], []) => Some((Vec::new(), true, rest)),
        ([], [length]) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().filter(|_| is_number)?.parse::<u64>();
            let length = usize::try_from(length.ok()?).unwrap_or(usize::MAX);
            let here = length.min(rest.len());
            Some((rest[..here].to_vec(), here == length, &rest[here..]))
        }
        ([coding], []) if version > 0 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(chunks(rest))
        }
        _ => None,
    }
}

/// What chunks have in them as far as they are right, whether the last one is there with all that
/// belongs to it, and what follows.
fn chunks(mut rest: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let mut content = Vec::new();
    loop {
        let Some((size, after)) = chunk_size(rest) else { return (content, false, b"") };
        if size == 0 {
            return match trailers(after) {
                Some(after) => (content, true, after),
                None => (content, false, b""),
            };
        }
        let here = size.min(after.len());
        content.extend_from_slice(&after[..here]);
        match after[here..].strip_prefix(b"\r\n") {
            Some(after) if here == size => rest = after,
            _ => return (content, false, b""),
        }
    }
}

fn chunk_size(rest: &[u8]) -> Option<(usize, &[u8])> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, after) = (&rest[..end], &rest[end + 2..]);
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
    let extension = &line[digits..];
    let is_control = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    let is_right = extension.is_empty() || extension.trim_ascii_start().starts_with(b";");
    (is_right && !extension.iter().any(is_control)).then_some((size, after))
}

fn trailers(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = &rest[..end];
        rest = &rest[end + 2..];
        if line.is_empty() {
            return Some(rest);
        }
        field(line)?;
    }
}
