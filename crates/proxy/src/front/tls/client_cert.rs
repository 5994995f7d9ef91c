//! The certificate that a client has shown, as the origin is told of it (RFC 9440).

/// The value of `Client-Cert`.
pub(super) fn field(certificate: &[u8]) -> Vec<u8> {
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
        assert_eq!(String::from_utf8(field(&certificate)).unwrap(), expected);
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
            assert_eq!(field(bytes.as_bytes()), text.as_bytes());
        }
        assert_eq!(field(&[0xFB, 0xEF, 0xFF]), b":++//:");
    }
}
