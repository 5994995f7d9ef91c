//! What went wrong on the way to a response, told to the client: one member of Proxy-Status
//! (RFC 9209).

use crate::head::PSEUDONYM;

/// Why a response is not the one that the origin would have given.
///
/// A stored response that stands in for a failing origin carries the origin's failure, too: nothing
/// was forwarded for this request, so it tells the truth about this response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyError {
    /// The error type of §2.3; `None` if all went well but what the origin answered is an error.
    pub(crate) error: Option<&'static str>,
    /// The status that the origin sent, where the client gets another.
    pub(crate) received_status: Option<u16>,
    /// The TLS alert that the origin sent (§2.3.15).
    pub(crate) alert: Option<u8>,
    /// The stable code of what happened.
    pub(crate) details: &'static str,
    /// The origin was chosen, and tried unless it could not be reached.
    pub(crate) went_forward: bool,
}

impl ProxyError {
    /// The proxy's own answer to a request that did not go forward.
    pub(crate) const fn own(error: &'static str, details: &'static str) -> Self {
        Self {
            error: Some(error),
            received_status: None,
            alert: None,
            details,
            went_forward: false,
        }
    }

    /// The origin's answer was replaced because of its status.
    pub(crate) const fn replaced(status: u16, details: &'static str) -> Self {
        Self {
            error: None,
            received_status: Some(status),
            alert: None,
            details,
            went_forward: true,
        }
    }

    /// Writes the field. The origin is named to those who debug alone: RFC 9209 §4 warns of telling
    /// attackers where to find it.
    pub(crate) fn write(&self, out: &mut Vec<u8>, next_hop: Option<&str>) {
        let put = |out: &mut Vec<u8>, text: &str| out.extend_from_slice(text.as_bytes());
        put(out, "Proxy-Status: ");
        put(out, PSEUDONYM);
        if let Some(error) = self.error {
            put(out, "; error=");
            put(out, error);
        }
        if let Some(alert) = self.alert {
            put(out, &format!("; alert-id={alert}"));
        }
        if let Some(status) = self.received_status {
            put(out, &format!("; received-status={status}"));
        }
        // A host and port have nothing that would have to be escaped in a String.
        if let Some(next_hop) = next_hop.filter(|_| self.went_forward) {
            put(out, &format!("; next-hop=\"{next_hop}\""));
        }
        put(out, "; details=\"");
        put(out, self.details);
        put(out, "\"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: ProxyError, next_hop: Option<&str>) -> String {
        let mut out = Vec::new();
        error.write(&mut out, next_hop);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_member_tells_what_is_known_and_no_more() {
        let own = ProxyError::own("proxy_internal_response", "max-forwards");
        let replaced = ProxyError::replaced(503, "stale-if-error");
        let alert = ProxyError {
            error: Some("tls_alert_received"),
            alert: Some(40),
            details: "origin-tls-alert",
            received_status: None,
            went_forward: true,
        };
        let hop = Some("origin.example:8443");
        for (error, next_hop, expected) in [
            (own, hop, "error=proxy_internal_response; details=\"max-forwards\""),
            (replaced, None, "received-status=503; details=\"stale-if-error\""),
            (
                alert,
                hop,
                "error=tls_alert_received; alert-id=40; next-hop=\"origin.example:8443\"; \
                 details=\"origin-tls-alert\"",
            ),
        ] {
            let expected = format!("Proxy-Status: caching-proxy; {expected}\r\n");
            assert_eq!(text(error, next_hop), expected);
        }
    }
}
