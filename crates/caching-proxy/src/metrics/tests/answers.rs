use policy::Timestamp;

use crate::metrics::answer::answer;
use crate::metrics::{Format, Token};

const TOKEN: &str = "0123456789abcdef==";

fn now() -> Timestamp {
    Timestamp::from_secs(1_795_435_200)
}

fn told(format: Format) -> String {
    format!("{format:?}\n")
}

fn answered(request: &str, token: Option<&str>) -> Option<String> {
    let token = token.map(|token| Token::parse(token.as_bytes()).unwrap());
    let response = answer(request.as_bytes(), token.as_ref(), now(), told)?;
    Some(String::from_utf8(response).unwrap())
}

fn get(fields: &str) -> String {
    format!("GET /metrics HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_request_for_the_metrics_gets_them() {
    let expected = "HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n\
                    Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
                    Content-Length: 11\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
    assert_eq!(answered(&get(""), None).unwrap(), format!("{expected}Prometheus\n"));
    let head = get("").replace("GET", "HEAD");
    assert_eq!(answered(&head, None).unwrap(), expected);
}

#[test]
fn until_the_head_is_whole_nothing_is_answered() {
    let request = get("Accept: */*\r\n");
    for end in 0..request.len() {
        assert_eq!(answered(&request[..end], None), None, "{end}");
    }
}

#[test]
fn each_request_gets_the_status_it_deserves() {
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(9000));
    let many = get(&"A: b\r\n".repeat(200));
    let rows: [(&str, &str); 14] = [
        ("GET /metrics?x HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET http://a/metrics HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
        ("GET /metrics HTTP/1.0\r\n\r\n", "200 OK"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("GET /metrics/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found"),
        (
            "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "405 Method Not Allowed",
        ),
        ("get /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET /metrics HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        ("\x16\x03\x01\x02", "400 Bad Request"),
        ("GET /metrics HTTP/2.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported"),
        (&long, "414 URI Too Long"),
        (&many, "431 Request Header Fields Too Large"),
    ];
    for (request, status) in rows {
        let response = answered(request, None).expect(request);
        assert!(response.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}: {response}");
        assert!(response.contains("Connection: close\r\n"), "{response}");
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-10.2.1
    //= type=test
    //# An origin server MUST generate an Allow header field in a 405 (Method Not Allowed)
    //# response
    let refused = answered("PUT /metrics HTTP/1.1\r\nHost: a\r\n\r\n", None).unwrap();
    assert!(refused.contains("\r\nAllow: GET, HEAD\r\n"), "{refused}");
}

#[test]
fn open_metrics_is_for_those_who_name_it() {
    let rows = [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/plain;version=0.0.4\r\n", false),
        ("Accept: application/openmetrics-text\r\n", true),
        ("Accept: Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.5\r\n", true),
        ("Accept: application/openmetrics-text;version=0.0.1\r\n", false),
        ("Accept: application/openmetrics-text;q=0.0\r\n", false),
        ("Accept: application/openmetrics-texts\r\n", false),
        // As Prometheus asks.
        (
            "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
             escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n",
            true,
        ),
        ("Accept: text/plain\r\nAccept: application/openmetrics-text\r\n", true),
    ];
    for (accept, is_open) in rows {
        let format = if is_open { Format::OpenMetrics } else { Format::Prometheus };
        let response = answered(&get(accept), None).unwrap();
        assert!(response.contains(format.media_type()), "{accept}: {response}");
        assert!(response.ends_with(&format!("\r\n\r\n{format:?}\n")), "{accept}: {response}");
    }
}

#[test]
fn who_has_to_show_the_token_gets_nothing_without() {
    //= https://www.rfc-editor.org/rfc/rfc9110#section-11.1
    //= type=test
    //# It uses a case-insensitive token to identify the authentication scheme
    let shown = [
        format!("Authorization: Bearer {TOKEN}\r\n"),
        format!("authorization: bearer   {TOKEN}  \r\n"),
    ];
    for fields in shown {
        let response = answered(&get(&fields), Some(TOKEN)).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 "), "{fields}: {response}");
    }
    let wrong = [
        String::new(),
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer{TOKEN}\r\n"),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}=\r\n"),
        format!("Authorization: Bearer {}\r\n", TOKEN.to_uppercase()),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \u{e9}\r\n".to_owned(),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
    ];
    for fields in wrong {
        //= https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
        //= type=test
        //# A server generating a 401 (Unauthorized) response MUST send a WWW-Authenticate header
        //# field containing at least one challenge.
        let response = answered(&get(&fields), Some(TOKEN)).unwrap();
        assert!(response.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{fields}: {response}");
        assert!(response.contains("WWW-Authenticate: Bearer realm=\"metrics\"\r\n"), "{response}");
        assert!(!response.contains("Prometheus"), "{response}");
    }
    // Nor is anything else told.
    let elsewhere = "GET /other HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(answered(elsewhere, Some(TOKEN)).unwrap().starts_with("HTTP/1.1 401 "));
}

#[test]
fn a_token_is_one_line_of_what_a_field_can_carry() {
    for token in [TOKEN, "abcdefghijklmnop", "AZaz09-._~+/AZaz\n", &"x".repeat(4096)] {
        assert!(Token::parse(token.as_bytes()).is_some(), "{token}");
    }
    for token in [
        "",
        "\n",
        "short",
        "0123456789 abcdef",
        "0123456789abc\ndef",
        "================",
        &"x".repeat(4097),
    ] {
        assert!(Token::parse(token.as_bytes()).is_none(), "{token}");
    }
}
