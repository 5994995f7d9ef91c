//! The certificate that a client has shown, as the origin is told of it (RFC 9440).

use policy::Fields;
use rustls::pki_types::CertificateDer;

/// A longer chain is not told: it would go along with each request.
const LONGEST_CHAIN: usize = 16 << 10;

/// What a client has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The value of `Client-Cert`.
    certificate: Vec<u8>,
    /// The value of `Client-Cert-Chain`.
    chain: Option<Vec<u8>>,
}

impl Shown {
    /// Out of what was shown in the handshake; `None` if that is nothing.
    pub(super) fn of(shown: &[CertificateDer<'_>], tells_chain: bool) -> Option<Self> {
        let (certificate, others) = shown.split_first()?;
        let certificate = item(certificate);
        //= https://www.rfc-editor.org/rfc/rfc9440#section-2.3
        //# The order is the same as the ordering in TLS (as described in Section 4.4.2 of [TLS]).
        let chain = others.iter().map(|other| item(other)).collect::<Vec<_>>().join(&b", "[..]);
        let is_told = tells_chain && !chain.is_empty() && chain.len() <= LONGEST_CHAIN;
        Some(Self { certificate, chain: is_told.then_some(chain) })
    }

    /// Adds it to the fields of a request, from which the client's own of these names are gone.
    pub(crate) fn tell(&self, fields: &mut Fields) {
        fields.push(b"Client-Cert", &self.certificate);
        if let Some(chain) = &self.chain {
            fields.push(b"Client-Cert-Chain", chain);
        }
    }
}

/// A certificate as a Byte Sequence.
fn item(certificate: &[u8]) -> Vec<u8> {
    //= https://www.rfc-editor.org/rfc/rfc9440#section-2.1
    //# In effect, this means that the binary DER certificate is encoded using base64 (without line
    //# breaks, spaces, or other characters outside the base64 alphabet) and delimited with colons on
    //# either side.
    let mut out = Vec::with_capacity(certificate.len().div_ceil(3) * 4 + 2);
    out.push(b':');
    for group in certificate.chunks(3) {
        let mut three = [0; 3];
        for (to, from) in three.iter_mut().zip(group) {
            *to = *from;
        }
        let [a, b, c] = three;
        let digits = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
        let told = group.len() + 1;
        out.extend(digits.iter().take(told).map(|&digit| letter(digit)));
        out.extend(std::iter::repeat_n(b'=', digits.len() - told));
    }
    out.push(b':');
    out
}

/// A digit of base64 (RFC 4648 §4).
const fn letter(digit: u8) -> u8 {
    match digit {
        0..=25 => b'A' + digit,
        26..=51 => b'a' + (digit - 26),
        52..=61 => b'0' + (digit - 52),
        62 => b'+',
        _ => b'/',
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    /// RFC 9440, appendix A.
    const CERTIFICATE: &str = "\
        MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBB\n\
        dXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAx\n\
        MTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZI\n\
        zj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p\n\
        5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIw\n\
        ADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMC\n\
        BsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1w\n\
        bGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMje\n\
        SkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=";

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let text =
            format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        let expected = format!(":{}:", CERTIFICATE.replace('\n', ""));
        assert_eq!(String::from_utf8(item(&certificate)).unwrap(), expected);
    }

    #[test]
    fn the_end_is_padded() {
        // RFC 4648 §10.
        for (bytes, text) in [
            ("", "::"),
            ("f", ":Zg==:"),
            ("fo", ":Zm8=:"),
            ("foo", ":Zm9v:"),
            ("foob", ":Zm9vYg==:"),
        ] {
            assert_eq!(item(bytes.as_bytes()), text.as_bytes());
        }
        assert_eq!(item(&[0xFB, 0xEF, 0xFF]), b":++//:");
    }

    /// Just too long.
    const LONG: &[u8] = &[0; (LONGEST_CHAIN - 4) / 4 * 3 + 1];

    #[test]
    fn a_chain_is_told_if_that_is_wanted_and_it_is_not_too_long() {
        let told = |shown: &[&'static [u8]], tells_chain| {
            let shown: Vec<_> = shown.iter().map(|der| CertificateDer::from(*der)).collect();
            let mut fields = Fields::new();
            if let Some(shown) = Shown::of(&shown, tells_chain) {
                shown.tell(&mut fields);
            }
            let field =
                |name| fields.get(name).map(|value| String::from_utf8(value.into()).unwrap());
            (field("client-cert"), field("client-cert-chain"))
        };
        let some = |text: &str| Some(text.to_owned());
        let all: &[&[u8]] = &[b"foo", b"f", b"fo"];
        assert_eq!(told(&[], true), (None, None));
        assert_eq!(told(&all[..1], true), (some(":Zm9v:"), None));
        assert_eq!(told(all, false), (some(":Zm9v:"), None));
        assert_eq!(told(all, true), (some(":Zm9v:"), some(":Zg==:, :Zm8=:")));
        let fits = &LONG[1..];
        assert_eq!(told(&[b"foo", fits], true).1.map(|chain| chain.len()), Some(LONGEST_CHAIN - 2));
        assert_eq!(told(&[b"foo", LONG], true), (some(":Zm9v:"), None));
    }
}
