use http1::BadRequest;

use super::*;
use crate::seats::Full;

fn limit() -> Duration {
    Duration::from_secs(1)
}

fn eof() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

fn host() -> String {
    "origin.example".to_owned()
}

fn os(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn tls(error: rustls::Error) -> FetchError {
    FetchError::Tls { host: host(), source: io::Error::new(io::ErrorKind::InvalidData, error) }
}

/// What is told of a failure: error type, status and code.
type Row = (FetchError, &'static str);

/// The ways in which there is no connection.
fn unconnected() -> Vec<Row> {
    let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
    let connect = |source| FetchError::Connect { address, source };
    let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
    let lies = rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::MissingKeyShare);
    let limit = limit();
    vec![
        (
            FetchError::Resolve { host: host(), source: Arc::new(eof()) },
            "dns_error 502 origin-name-unresolved",
        ),
        (FetchError::ResolveTimeout { host: host(), limit }, "dns_timeout 504 origin-name-timeout"),
        (connect(os(111)), "connection_refused 502 origin-refused"),
        (connect(os(101)), "destination_ip_unroutable 502 origin-unroutable"),
        (connect(os(113)), "destination_ip_unroutable 502 origin-unroutable"),
        (connect(os(110)), "connection_timeout 504 origin-connect-timeout"),
        (connect(os(24)), "proxy_internal_error 502 origin-connect-failed"),
        (
            FetchError::ConnectTimeout { address, limit },
            "connection_timeout 504 origin-connect-timeout",
        ),
        (tls(certificate), "tls_certificate_error 502 origin-tls-certificate"),
        (tls(alert), "tls_alert_received 502 origin-tls-alert"),
        (tls(lies), "tls_protocol_error 502 origin-tls"),
        (
            FetchError::Tls { host: host(), source: eof() },
            "connection_terminated 502 origin-closed",
        ),
        (
            FetchError::TlsTimeout { host: host(), limit },
            "connection_timeout 504 origin-tls-timeout",
        ),
        (FetchError::NoTunnel { limit: 1 }, "connection_limit_reached 503 tunnels-in-use"),
        (
            FetchError::NoDescriptor { source: os(24) },
            "connection_limit_reached 503 origin-no-descriptor",
        ),
    ]
}

/// The ways in which there is a connection and no response.
fn unanswered() -> Vec<Row> {
    let limit = limit();
    vec![
        (FetchError::Busy { limit: 1 }, "connection_limit_reached 503 origin-busy"),
        (FetchError::Crowded { limit: 1 }, "proxy_internal_response 503 collapse-crowded"),
        (
            FetchError::Closed { source: eof(), unanswered: true },
            "connection_terminated 502 origin-closed",
        ),
        (FetchError::HeadTimeout { limit }, "connection_read_timeout 504 origin-timeout"),
        (BadResponse::Status.into(), "http_protocol_error 502 origin-malformed"),
        (BadResponse::Head(BadHead::BareLf).into(), "http_protocol_error 502 origin-malformed"),
        (
            BadResponse::Head(BadHead::TooLarge).into(),
            "http_response_header_section_size 502 origin-head-too-large",
        ),
        (
            BadResponse::Head(BadHead::TooManyFields).into(),
            "http_response_header_section_size 502 origin-head-too-large",
        ),
        (
            BadResponse::Head(BadHead::FieldTooLarge).into(),
            "http_response_header_size 502 origin-field-too-large",
        ),
        (
            BadResponse::Head(BadHead::CodingUnknown).into(),
            "http_response_transfer_coding 502 origin-bad-coding",
        ),
        (FetchError::Unasked { status: 304 }, "http_protocol_error 502 origin-unasked-status"),
        (
            FetchError::EndlessInformational { limit: 1 },
            "http_protocol_error 502 origin-endless-informational",
        ),
        (FetchError::Truncated { source: eof() }, "http_response_incomplete 502 origin-truncated"),
        (BadBody::ChunkSize.into(), "http_response_transfer_coding 502 origin-bad-content"),
        (
            BadBody::Trailers(BadHead::TooLarge).into(),
            "http_response_trailer_section_size 502 origin-trailers-too-large",
        ),
        (
            BadBody::Trailers(BadHead::FieldTooLarge).into(),
            "http_response_trailer_size 502 origin-trailer-too-large",
        ),
        (BadBody::Trailers(BadHead::NoColon).into(), "http_protocol_error 502 origin-malformed"),
        (
            FetchError::ContentTooLarge { limit: 1 },
            "http_response_body_size 502 origin-content-too-large",
        ),
        (FetchError::Stalled { limit }, "connection_read_timeout 504 origin-stalled"),
        (FetchError::Loop { hops: 17, limit: 16 }, "proxy_loop_detected 502 loop"),
        (FetchError::Internal, "proxy_internal_error 500 internal-error"),
        (ContentError::Cut.into(), "http_request_error 400 client-cut"),
        (ContentError::Stalled { limit }.into(), "http_request_error 408 client-stalled"),
        (
            ContentError::TooLarge { limit: 1 }.into(),
            "http_request_error 413 client-content-too-large",
        ),
        (
            ContentError::Malformed(BadBody::ChunkEnd).into(),
            "http_request_error 400 client-bad-content",
        ),
        (
            ContentError::Malformed(BadBody::Trailers(BadHead::FieldTooLarge)).into(),
            "http_request_error 431 client-trailers-too-large",
        ),
    ]
}

#[test]
fn every_failed_fetch_has_the_most_specific_error_type() {
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.1
    //= type=test
    //# When sending the error parameter, the most specific proxy error type SHOULD be sent, provided
    //# that it accurately represents the error condition.
    let table: Vec<_> = unconnected().into_iter().chain(unanswered()).collect();
    for (error, expected) in &table {
        let told = error.proxy_error();
        let got = format!("{} {} {}", told.error.unwrap(), error.status(), error.code());
        assert_eq!((&*got, told.details), (*expected, error.code()), "{error}");
    }
    for failure in Failure::ALL {
        assert!(table.iter().any(|row| row.0.failure() == *failure), "{failure:?} never happens");
    }
}

#[test]
fn an_alert_and_a_status_are_told_where_they_came() {
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
    assert_eq!(tls(alert).proxy_error().alert, Some(40));
    let unasked = FetchError::Unasked { status: 304 }.proxy_error();
    assert_eq!((unasked.received_status, unasked.alert), (Some(304), None));
}

#[test]
fn only_what_went_forward_names_the_next_hop() {
    let stayed = [
        FetchError::NoTunnel { limit: 1 },
        FetchError::Crowded { limit: 1 },
        FetchError::Loop { hops: 2, limit: 1 },
        FetchError::Internal,
    ];
    for error in stayed {
        assert!(!error.proxy_error().went_forward, "{error}");
    }
    assert!(FetchError::Busy { limit: 1 }.proxy_error().went_forward);
}

#[test]
fn a_refusal_is_the_clients_fault_or_the_proxys_own_answer() {
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2.3.16
    //= type=test
    //# The intermediary is generating a client (4xx) response on the origin's behalf.
    //= https://www.rfc-editor.org/rfc/rfc9209#section-2.3.29
    //= type=test
    //# The intermediary generated the response itself without attempting to connect to the next hop.
    let bad = |bad: BadHead| Refusal::Malformed(bad.into());
    for (refusal, error, code) in [
        (bad(BadHead::BareLf), "http_request_error", "bare-lf"),
        (bad(BadHead::TooLarge), "http_request_error", "head-too-large"),
        (bad(BadHead::CodingUnknown), "proxy_internal_response", "unknown-transfer-coding"),
        (BadRequest::VersionUnsupported.into(), "proxy_internal_response", "unsupported-version"),
        (Refusal::HeadTimeout { limit: limit() }, "http_request_error", "head-timeout"),
        (Refusal::Full(Full::Connections), "proxy_internal_response", "connections-full"),
        (Refusal::Full(Full::Descriptors), "proxy_internal_response", "descriptors-full"),
        (
            Refusal::Full(Full::Client { limit: 1 }),
            "proxy_internal_response",
            "client-connections-full",
        ),
        (Refusal::ContentTooLarge { limit: 1 }, "http_request_error", "content-too-large"),
        (Refusal::Connect, "proxy_internal_response", "connect-refused"),
        (Refusal::TraceContent, "http_request_error", "trace-with-content"),
        (Refusal::Outside, "http_request_error", "outside-of-origin"),
        (Refusal::OnlyIfCached, "proxy_internal_response", "only-if-cached"),
    ] {
        assert_eq!(refusal.proxy_error(), ProxyError::own(error, code));
    }
}
