//! Every way in which a request fails, with its stable code, the status that the client gets, and
//! the error type of `Proxy-Status` (RFC 9209 §2.3): one table.

pub use crate::front::http2::Malformed;

/// Declares an enum of failures and all that is said of them.
macro_rules! failures {
    ($(#[$about:meta])* $name:ident {
        $($(#[doc = $doc:literal])+ $variant:ident = $code:literal, $status:literal, $error:literal;)+
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $name {
            /// Every failure of this kind.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The stable code that header, log and metric share.
            pub const fn code(self) -> &'static str {
                match self { $($name::$variant => $code,)+ }
            }

            /// The status that the client gets (RFC 9110 §15).
            pub const fn status(self) -> u16 {
                match self { $($name::$variant => $status,)+ }
            }

            /// The error type of RFC 9209 §2.3.
            pub const fn error_type(self) -> &'static str {
                match self { $($name::$variant => $error,)+ }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $($name::$variant => concat!($($doc),+).trim(),)+ }
            }
        }
    };
}

failures! {
    /// Why there was no response to a request that went towards the origin.
    Failure {
        /// The origin's name could not be resolved.
        NameUnresolved = "origin-name-unresolved", 502, "dns_error";
        /// The resolver gave no answer in time.
        NameTimeout = "origin-name-timeout", 504, "dns_timeout";
        /// The origin refused the connection.
        Refused = "origin-refused", 502, "connection_refused";
        /// There is no route to the origin's address.
        Unroutable = "origin-unroutable", 502, "destination_ip_unroutable";
        /// The origin did not answer the attempt to connect.
        ConnectTimeout = "origin-connect-timeout", 504, "connection_timeout";
        /// This machine could not open a connection: no file descriptor or no port was left, or it
        /// is not allowed to.
        ConnectFailed = "origin-connect-failed", 502, "proxy_internal_error";
        /// The TLS handshake with the origin failed.
        Tls = "origin-tls", 502, "tls_protocol_error";
        /// The origin's certificate is not valid, not trusted or for another name.
        TlsCertificate = "origin-tls-certificate", 502, "tls_certificate_error";
        /// The origin ended the TLS connection with an alert.
        TlsAlert = "origin-tls-alert", 502, "tls_alert_received";
        /// The TLS handshake with the origin took too long.
        TlsTimeout = "origin-tls-timeout", 504, "connection_timeout";
        /// All permitted connections to the origin are in use, and none became free in time.
        Busy = "origin-busy", 503, "connection_limit_reached";
        /// As many connections as are permitted have gone on in another protocol, such as WebSocket.
        NoTunnel = "tunnels-in-use", 503, "connection_limit_reached";
        /// No file descriptor was left for a connection to the origin, and none became free in time.
        NoDescriptor = "origin-no-descriptor", 503, "connection_limit_reached";
        /// Too many requests wait for this resource already.
        Crowded = "collapse-crowded", 503, "proxy_internal_response";
        /// The origin closed the connection before its response head was complete.
        Closed = "origin-closed", 502, "connection_terminated";
        /// The origin sent no response head in time.
        HeadTimeout = "origin-timeout", 504, "connection_read_timeout";
        /// The origin's response head is larger than is taken.
        HeadTooLarge = "origin-head-too-large", 502, "http_response_header_section_size";
        /// A field of the origin's response is longer than is taken.
        FieldTooLarge = "origin-field-too-large", 502, "http_response_header_size";
        /// The origin's response has a transfer coding that is malformed or not known.
        BadCoding = "origin-bad-coding", 502, "http_response_transfer_coding";
        /// What the origin sent is not an HTTP/1.1 response, or could be read in two ways.
        Malformed = "origin-malformed", 502, "http_protocol_error";
        /// The origin answered with a status that nobody asked for: 206 or 304 to a request without
        /// range or condition, or 101 where no switch was offered, or none to that protocol.
        Unasked = "origin-unasked-status", 502, "http_protocol_error";
        /// The origin sent more informational responses than are forwarded.
        EndlessInformational = "origin-endless-informational", 502, "http_protocol_error";
        /// The origin's content ended early.
        Truncated = "origin-truncated", 502, "http_response_incomplete";
        /// The chunks of the origin's content are malformed.
        BadContent = "origin-bad-content", 502, "http_response_transfer_coding";
        /// The trailers of the origin's content are larger than is taken.
        TrailersTooLarge = "origin-trailers-too-large", 502, "http_response_trailer_section_size";
        /// A trailer of the origin's content is longer than is taken.
        TrailerTooLarge = "origin-trailer-too-large", 502, "http_response_trailer_size";
        /// The origin's content is larger than is taken (`--max-response-content`).
        ContentTooLarge = "origin-content-too-large", 502, "http_response_body_size";
        /// The origin stopped in the middle of its content.
        Stalled = "origin-stalled", 504, "connection_read_timeout";
        /// The request has come by proxies of this name more often than is permitted.
        Loop = "loop", 502, "proxy_loop_detected";
        /// The client closed the connection in the middle of its content.
        ClientCut = "client-cut", 400, "http_request_error";
        /// The client stopped in the middle of its content.
        ClientStalled = "client-stalled", 408, "http_request_error";
        /// The client sent more content than is taken (`--max-request-content`), without having
        /// announced it.
        ClientContentTooLarge = "client-content-too-large", 413, "http_request_error";
        /// The client's content is malformed.
        ClientBadContent = "client-bad-content", 400, "http_request_error";
        /// The trailers of the client's content are larger than is taken.
        ClientTrailersTooLarge = "client-trailers-too-large", 431, "http_request_error";
        /// The proxy itself failed.
        Internal = "internal-error", 500, "proxy_internal_error";
    }
}

impl Failure {
    /// Whether it is an attempt to get a response from the origin that failed. The others are the
    /// client's, or end a request before there is an attempt.
    pub const fn is_of_origin(self) -> bool {
        !matches!(
            self,
            Self::NoTunnel
                | Self::Crowded
                | Self::Loop
                | Self::ClientCut
                | Self::ClientStalled
                | Self::ClientContentTooLarge
                | Self::ClientBadContent
                | Self::ClientTrailersTooLarge
        )
    }
}

failures! {
    /// Why a request is not served, beside what the codec and the policy have to say.
    Denial {
        /// The request head did not arrive in time.
        HeadTimeout = "head-timeout", 408, "http_request_error";
        /// As many connections of clients are open as are permitted, and none of them is idle.
        ConnectionsFull = "connections-full", 503, "proxy_internal_response";
        /// So few file descriptors are left that none is for another client.
        DescriptorsFull = "descriptors-full", 503, "proxy_internal_response";
        /// This client has as many connections as it may (`--max-connections-per-client`).
        ClientFull = "client-connections-full", 503, "proxy_internal_response";
        /// The request announces more content than is taken (`--max-request-content`).
        ContentTooLarge = "content-too-large", 413, "http_request_error";
        /// The client spoke HTTP without TLS to a port for TLS.
        PlainHttp = "plain-http", 400, "http_request_error";
        /// The target names another scheme than that of the connection it came by.
        Misdirected = "misdirected", 421, "http_request_error";
        /// The listener only sends clients on to HTTPS, and the request does not say where it wants
        /// to go.
        Nowhere = "redirect-nowhere", 400, "http_request_error";
        /// The listener only sends clients on to HTTPS.
        Redirected = "redirected", 308, "proxy_internal_response";
        /// CONNECT asks a forward proxy for a tunnel; this is a reverse proxy.
        Connect = "connect-refused", 501, "proxy_internal_response";
        /// A TRACE request brings content, which none may have (RFC 9110 §9.3.8).
        TraceContent = "trace-with-content", 400, "http_request_error";
        /// The path leads out of that of `--origin`, which is all of the origin that is served.
        Outside = "outside-of-origin", 400, "http_request_error";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The types of RFC 9209 §2.3 that are used, with their recommended status codes.
    const TYPES: [(&str, u16); 22] = [
        ("dns_timeout", 504),
        ("dns_error", 502),
        ("destination_ip_unroutable", 502),
        ("connection_refused", 502),
        ("connection_terminated", 502),
        ("connection_timeout", 504),
        ("connection_read_timeout", 504),
        ("connection_limit_reached", 503),
        ("tls_protocol_error", 502),
        ("tls_certificate_error", 502),
        ("tls_alert_received", 502),
        ("http_response_incomplete", 502),
        ("http_response_header_section_size", 502),
        ("http_response_header_size", 502),
        ("http_response_trailer_section_size", 502),
        ("http_response_trailer_size", 502),
        ("http_response_body_size", 502),
        ("http_response_transfer_coding", 502),
        ("http_protocol_error", 502),
        ("proxy_loop_detected", 502),
        ("http_request_error", 400),
        ("proxy_internal_error", 500),
    ];

    #[test]
    fn each_failure_has_the_status_that_its_error_type_recommends() {
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1
        //= type=test
        //# When generating an HTTP response containing the error, its HTTP status code SHOULD be set
        //# to the recommended HTTP status code.
        for &failure in Failure::ALL {
            let (error, status) = (failure.error_type(), failure.status());
            let recommended = TYPES.iter().find(|(known, _)| *known == error).map(|row| row.1);
            match (error, recommended) {
                // It makes no claim.
                ("proxy_internal_response", None) => {}
                ("http_request_error", _) => assert!((400..500).contains(&status), "{failure:?}"),
                // Gateways answer for what they could not reach with 502; it is not known whose
                // fault it is.
                ("proxy_internal_error", _) if failure == Failure::ConnectFailed => {
                    assert_eq!(status, 502);
                }
                (_, recommended) => assert_eq!(recommended, Some(status), "{failure:?}"),
            }
        }
    }

    #[test]
    fn what_the_client_does_and_what_never_sets_out_is_no_failure_of_the_origin() {
        let others = Failure::ALL.iter().filter(|failure| !failure.is_of_origin());
        let others: Vec<_> = others.map(|failure| failure.code()).collect();
        let expected = [
            "tunnels-in-use",
            "collapse-crowded",
            "loop",
            "client-cut",
            "client-stalled",
            "client-content-too-large",
            "client-bad-content",
            "client-trailers-too-large",
        ];
        assert_eq!(others, expected);
    }

    #[test]
    fn each_failure_has_a_meaning_in_one_sentence() {
        for meaning in Failure::ALL.iter().map(|failure| failure.meaning()) {
            assert!(meaning.ends_with('.') && !meaning.contains("  "), "{meaning}");
        }
    }
}
