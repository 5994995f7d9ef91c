//! The options about TLS with clients.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use proxy::PairFiles;

use super::check::{Given, Texts, listen_of};
use super::fault::{Fault, Source, named};

/// As they are written.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "they are named as the options are")]
pub(crate) struct RawTls {
    /// Listen on this port of the loopback address for HTTPS, beside --port or instead of it
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) tls_port: Option<String>,
    /// Listen on this address for HTTPS instead
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) tls_listen: Option<String>,
    /// Certificate for HTTPS in PEM form, with those that lead to its authority behind it; can be
    /// given more than once (in the variable with colons between), each with its key; the name that
    /// a client asks for decides, the first is for all others
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Vec<OsString>,
    /// Key of the certificate that stands at the same place
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Vec<OsString>,
}

/// HTTPS as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The certificates.
    pub(crate) pairs: Vec<PairFiles>,
}

/// Checks them together. `plain` is where plain HTTP is spoken.
pub(super) fn check(
    raw: RawTls,
    plain: Option<SocketAddr>,
    texts: &Texts<'_>,
) -> Result<Option<Tls>, Fault> {
    let port = texts.of("--tls-port", raw.tls_port);
    let address = texts.of("--tls-listen", raw.tls_listen);
    let option = port.as_ref().or(address.as_ref()).map(|given| named(given.option, given.source));
    let certificates = texts.all("--tls-cert", raw.tls_cert);
    let keys = texts.all("--tls-key", raw.tls_key);
    let pairs = pairs(&certificates, &keys)?;
    let (listen, option) = match (listen_of(port, address)?, option) {
        (Some(listen), Some(option)) => (listen, option),
        _ if pairs.is_empty() => return Ok(None),
        _ => {
            return Err(Fault::new(
                "--tls-cert: there is no port for it; give one with --tls-port N or --tls-listen \
                 ADDR:PORT",
            ));
        }
    };
    if pairs.is_empty() {
        return Err(Fault::new(format!(
            "{option}: there is no certificate for it; give one with --tls-cert FILE and --tls-key \
             FILE"
        )));
    }
    apart(&option, listen, "--port", plain)?;
    Ok(Some(Tls { listen, pairs }))
}

/// Each certificate with its key.
fn pairs(certificates: &[Given], keys: &[Given]) -> Result<Vec<PairFiles>, Fault> {
    let lonely = match certificates.len().cmp(&keys.len()) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => {
            certificates.get(keys.len()).map(|given| (given, "there is no key", "--tls-key"))
        }
        std::cmp::Ordering::Less => keys
            .get(certificates.len())
            .map(|given| (given, "there is no certificate", "--tls-cert")),
    };
    if let Some((given, why, other)) = lonely {
        return Err(given.fault(format!("{why} for it"), format!("give one with {other} FILE")));
    }
    let pair = |(certificate, key): (&Given, &Given)| PairFiles {
        certificate: PathBuf::from(&certificate.value),
        key: PathBuf::from(&key.value),
    };
    Ok(certificates.iter().zip(keys).map(pair).collect())
}

/// Two listeners cannot be in one place.
fn apart(
    option: &str,
    listen: SocketAddr,
    other: &str,
    taken: Option<SocketAddr>,
) -> Result<(), Fault> {
    if taken == Some(listen) && listen.port() != 0 {
        return Err(Fault::new(format!(
            "{option}: {listen} is where {other} listens already; give each a port of its own"
        )));
    }
    Ok(())
}

impl Texts<'_> {
    /// All values of an option that can be given more than once. Its variable has them all, with
    /// colons between.
    fn all(&self, option: &'static str, typed: Vec<OsString>) -> Vec<Given> {
        if !typed.is_empty() {
            let source = Source::CommandLine;
            return typed.into_iter().map(|value| Given { option, source, value }).collect();
        }
        let Some(given) = self.of(option, None::<OsString>) else { return Vec::new() };
        std::env::split_paths(&given.value)
            .map(|path| Given { option, source: given.source, value: path.into() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, Fault, Serve, read};

    fn with(args: &[&str], environment: &[(&str, &str)]) -> Result<Serve, Fault> {
        let args = ["--origin", "http://a"].iter().chain(args).map(OsString::from);
        let args: Vec<_> = args.collect();
        let find =
            |name: &str| Some(environment.iter().find(|(known, _)| *known == name)?.1.into());
        match read(&args, &find)? {
            Command::Serve(serve) => Ok(*serve),
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    #[test]
    fn certificates_go_with_the_keys_at_the_same_place() {
        let args = ["--tls-port", "3443", "--tls-cert", "a", "--tls-key", "b", "--tls-cert", "c"];
        let serve = with(&[&args[..], &["--tls-key", "d"]].concat(), &[]).unwrap();
        let tls = serve.tls.unwrap();
        assert_eq!((serve.listen, serve.first), (None, tls.listen));
        assert_eq!(tls.listen, "127.0.0.1:3443".parse().unwrap());
        let pairs: Vec<_> =
            tls.pairs.iter().map(|pair| (pair.certificate.to_str(), pair.key.to_str())).collect();
        assert_eq!(pairs, [(Some("a"), Some("b")), (Some("c"), Some("d"))]);
        let environment = [
            ("CACHING_PROXY_TLS_LISTEN", "[::]:443"),
            ("CACHING_PROXY_TLS_CERT", "/a:/c"),
            ("CACHING_PROXY_TLS_KEY", "/b:/d"),
        ];
        let serve = with(&["--port", "80"], &environment).unwrap();
        assert_eq!(serve.first, "127.0.0.1:80".parse().unwrap());
        let tls = serve.tls.unwrap();
        assert_eq!((tls.listen, tls.pairs.len()), ("[::]:443".parse().unwrap(), 2));
    }

    #[test]
    fn what_does_not_go_together_is_one_line() {
        let pair = ["--tls-cert", "c", "--tls-key", "k"];
        let rows: [(&[&str], &str); 6] = [
            (
                &["--tls-port", "1"],
                "--tls-port: there is no certificate for it; give one with --tls-cert FILE and \
                 --tls-key FILE",
            ),
            (
                &["--port", "1", "--tls-cert", "c", "--tls-key", "k"],
                "--tls-cert: there is no port for it; give one with --tls-port N or --tls-listen \
                 ADDR:PORT",
            ),
            (
                &["--tls-port", "1", "--tls-cert", "c"],
                "--tls-cert: \"c\": there is no key for it; give one with --tls-key FILE",
            ),
            (
                &["--tls-port", "1", "--tls-key", "k"],
                "--tls-key: \"k\": there is no certificate for it; give one with --tls-cert FILE",
            ),
            (
                &[&["--port", "1", "--tls-port", "1"][..], &pair].concat(),
                "--tls-port: 127.0.0.1:1 is where --port listens already; give each a port of its \
                 own",
            ),
            (
                &[&["--tls-listen", "[::1]:1", "--tls-port", "1"][..], &pair].concat(),
                "--tls-port and --tls-listen exclude each other; give one of them",
            ),
        ];
        for (args, line) in rows {
            assert_eq!(with(args, &[]).unwrap_err().to_string(), line, "{args:?}");
        }
        // Two that the system picks are two.
        let free = [&["--port", "0", "--tls-port", "0"][..], &pair].concat();
        assert!(with(&free, &[]).is_ok());
    }
}
