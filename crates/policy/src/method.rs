//! Request methods and their two properties: safe and idempotent (RFC 9110 §9.2).

/// A request method. Names are case-sensitive: `get` is an extension method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 9110 §9.3.1.
    Get,
    /// RFC 9110 §9.3.2.
    Head,
    /// RFC 9110 §9.3.3.
    Post,
    /// RFC 9110 §9.3.4.
    Put,
    /// RFC 9110 §9.3.5.
    Delete,
    /// RFC 9110 §9.3.6.
    Connect,
    /// RFC 9110 §9.3.7.
    Options,
    /// RFC 9110 §9.3.8.
    Trace,
    /// RFC 5789.
    Patch,
    /// The safe method with content.
    Query,
    /// Any other, as it came.
    Other(Box<[u8]>),
}

impl Method {
    /// The method of that name.
    pub fn parse(name: &[u8]) -> Method {
        match name {
            b"GET" => Method::Get,
            b"HEAD" => Method::Head,
            b"POST" => Method::Post,
            b"PUT" => Method::Put,
            b"DELETE" => Method::Delete,
            b"CONNECT" => Method::Connect,
            b"OPTIONS" => Method::Options,
            b"TRACE" => Method::Trace,
            b"PATCH" => Method::Patch,
            b"QUERY" => Method::Query,
            other => Method::Other(other.into()),
        }
    }

    /// The name as it stands in a request line.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Method::Get => b"GET",
            Method::Head => b"HEAD",
            Method::Post => b"POST",
            Method::Put => b"PUT",
            Method::Delete => b"DELETE",
            Method::Connect => b"CONNECT",
            Method::Options => b"OPTIONS",
            Method::Trace => b"TRACE",
            Method::Patch => b"PATCH",
            Method::Query => b"QUERY",
            Method::Other(name) => name,
        }
    }

    /// Is it known to be read-only? An unknown method is not.
    pub const fn is_safe(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
        //# Of the request methods defined by this specification, the GET, HEAD, OPTIONS, and TRACE
        //# methods are defined to be safe.
        matches!(self, Method::Get | Method::Head | Method::Options | Method::Trace | Method::Query)
    }

    /// Is it known to have the same effect when repeated?
    pub const fn is_idempotent(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
        //# Of the request methods defined by this specification, PUT, DELETE, and safe request
        //# methods are idempotent.
        self.is_safe() || matches!(self, Method::Put | Method::Delete)
    }

    /// Has content no meaning in a request with it, so that a server may not look for any?
    pub const fn ignores_content(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.1
        //# content received in a GET request has no generally defined semantics, cannot alter the
        //# meaning or target of the request, and might lead some implementations to reject the request
        //# and close the connection because of its potential as a request smuggling attack
        matches!(self, Method::Get | Method::Head | Method::Delete | Method::Options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_unknown_ones_are_neither_safe_nor_idempotent() {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.1
        //= type=test
        //# Of the request methods defined by this specification, the GET, HEAD, OPTIONS, and TRACE
        //# methods are defined to be safe.
        //= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
        //= type=test
        //# Of the request methods defined by this specification, PUT, DELETE, and safe request
        //# methods are idempotent.
        let rows = [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", true, true),
            ("TRACE", true, true),
            ("QUERY", true, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("POST", false, false),
            ("PATCH", false, false),
            ("CONNECT", false, false),
            ("get", false, false),
            ("PURGE", false, false),
        ];
        for (name, safe, idempotent) in rows {
            let method = Method::parse(name.as_bytes());
            assert_eq!((method.is_safe(), method.is_idempotent()), (safe, idempotent), "{name}");
            assert_eq!(method.as_bytes(), name.as_bytes());
            let ignores = ["GET", "HEAD", "OPTIONS", "DELETE"].contains(&name);
            assert_eq!(method.ignores_content(), ignores, "{name}");
        }
    }
}
