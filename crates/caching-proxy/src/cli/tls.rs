//! The options about TLS with clients.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use proxy::{ClientAuth, PairFiles};

use super::check::{Given, Texts, listen_of, one_of};
use super::fault::{Fault, Source, named};

/// As they are written.
#[derive(Debug, Default, Args)]
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
    /// Speak HTTPS with a certificate of its own for localhost, which nobody trusts; for development
    #[arg(long)]
    pub(crate) tls_self_signed: bool,
    /// Ask clients for a certificate of the authorities in this file, and tell the origin of it in
    /// Client-Cert
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca: Option<OsString>,
    /// required, or optional to let clients in that have none [default: required]
    #[arg(long, value_name = "WORD")]
    pub(crate) tls_client_auth: Option<String>,
    /// Tell the origin of the certificates that lead to the client's authority too, as far as the
    /// client shows them, in Client-Cert-Chain
    #[arg(long)]
    pub(crate) tls_client_chain: bool,
    /// Listen on this port of the loopback address and send all clients on to HTTPS
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) redirect_port: Option<String>,
    /// Listen on this address for that instead
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) redirect_listen: Option<String>,
}

/// HTTPS as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// What is served there.
    pub(crate) certificates: Certificates,
    /// What is asked of clients.
    pub(crate) clients: ClientAuth,
    /// The origin is told of the whole chain of a client's certificate.
    pub(crate) tells_chain: bool,
    /// Where clients are sent on from.
    pub(crate) redirect: Option<SocketAddr>,
}

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Certificates {
    /// These files.
    Files(Vec<PairFiles>),
    /// The proxy makes one.
    SelfSigned,
}

/// Checks them together. `plain` is where plain HTTP is spoken.
pub(super) fn check(
    raw: RawTls,
    plain: Option<SocketAddr>,
    texts: &Texts<'_>,
) -> Result<Option<Tls>, Fault> {
    let tls = Listener::of(
        texts.of("--tls-port", raw.tls_port),
        texts.of("--tls-listen", raw.tls_listen),
    )?;
    let redirect = Listener::of(
        texts.of("--redirect-port", raw.redirect_port),
        texts.of("--redirect-listen", raw.redirect_listen),
    )?;
    let pairs =
        pairs(&texts.all("--tls-cert", raw.tls_cert), &texts.all("--tls-key", raw.tls_key))?;
    let own = texts.flag("--tls-self-signed", raw.tls_self_signed)?;
    let own = own.map(|source| named("--tls-self-signed", source));
    let authorities = texts.of("--tls-client-ca", raw.tls_client_ca);
    let asked = authorities.as_ref().map(|given| named(given.option, given.source));
    let clients = clients(authorities, texts.of("--tls-client-auth", raw.tls_client_auth))?;
    let chain = texts.flag("--tls-client-chain", raw.tls_client_chain)?;
    if let (Some(source), ClientAuth::Off) = (chain, &clients) {
        return Err(Fault::new(format!(
            "{}: no client is asked for a certificate; give the authorities for it with \
             --tls-client-ca FILE",
            named("--tls-client-chain", source)
        )));
    }
    let Some(tls) = tls else {
        let useless = redirect.map(|redirect| redirect.option).or(own).or(asked);
        let useless = useless.or((!pairs.is_empty()).then(|| "--tls-cert".to_owned()));
        return useless.map_or(Ok(None), |option| {
            Err(Fault::new(format!(
                "{option}: nothing speaks HTTPS; give a port for it with --tls-port N or \
                 --tls-listen ADDR:PORT"
            )))
        });
    };
    let certificates = certificates(&tls.option, pairs, own)?;
    tls.apart_from("--port", plain)?;
    if let Some(redirect) = &redirect {
        redirect.apart_from("--port", plain)?;
        redirect.apart_from(&tls.option, Some(tls.address))?;
    }
    let (redirect, tells_chain) = (redirect.map(|redirect| redirect.address), chain.is_some());
    Ok(Some(Tls { listen: tls.address, certificates, clients, tells_chain, redirect }))
}

fn clients(authorities: Option<Given>, word: Option<Given>) -> Result<ClientAuth, Fault> {
    let authorities = match (authorities, &word) {
        (Some(given), _) => PathBuf::from(given.value),
        (None, None) => return Ok(ClientAuth::Off),
        (None, Some(word)) => {
            let why = "there are no authorities for it";
            return Err(word.fault(why, "give them with --tls-client-ca FILE"));
        }
    };
    let Some(word) = word else { return Ok(ClientAuth::Required { authorities }) };
    let choices = [("optional", true), ("required", false)];
    let is_optional = word.word(&choices, "it is neither of the two")?;
    if is_optional {
        return Ok(ClientAuth::Optional { authorities });
    }
    Ok(ClientAuth::Required { authorities })
}

/// What is served at `listener`; `own` is the option for a certificate of the proxy's own.
fn certificates(
    listener: &str,
    pairs: Vec<PairFiles>,
    own: Option<String>,
) -> Result<Certificates, Fault> {
    match (pairs.is_empty(), own) {
        (false, None) => Ok(Certificates::Files(pairs)),
        (true, Some(_)) => Ok(Certificates::SelfSigned),
        (false, Some(own)) => {
            Err(Fault::new(format!("--tls-cert and {own} exclude each other; give one of them")))
        }
        (true, None) => Err(Fault::new(format!(
            "{listener}: there is no certificate for it; give one with --tls-cert FILE and --tls-key \
             FILE, or try it with --tls-self-signed"
        ))),
    }
}

/// A place to listen, and the option that asked for it.
struct Listener {
    option: String,
    address: SocketAddr,
}

impl Listener {
    /// From a port or an address, or neither.
    fn of(port: Option<Given>, address: Option<Given>) -> Result<Option<Self>, Fault> {
        let (port, address) = one_of(port, address)?;
        let Some(option) = port.as_ref().or(address.as_ref()) else { return Ok(None) };
        let option = named(option.option, option.source);
        Ok(listen_of(port, address)?.map(|address| Self { option, address }))
    }

    /// Two listeners cannot be in one place.
    fn apart_from(&self, other: &str, taken: Option<SocketAddr>) -> Result<(), Fault> {
        let Self { option, address } = self;
        if taken == Some(*address) && address.port() != 0 {
            return Err(Fault::new(format!(
                "{option}: {address} is where {other} listens already; give each a port of its own"
            )));
        }
        Ok(())
    }
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
    use super::{Certificates, ClientAuth};

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
        let Certificates::Files(pairs) = tls.certificates else { panic!("no files") };
        let pairs: Vec<_> =
            pairs.iter().map(|pair| (pair.certificate.to_str(), pair.key.to_str())).collect();
        assert_eq!(pairs, [(Some("a"), Some("b")), (Some("c"), Some("d"))]);
        let environment = [
            ("CACHING_PROXY_TLS_LISTEN", "[::]:443"),
            ("CACHING_PROXY_TLS_CERT", "/a:/c"),
            ("CACHING_PROXY_TLS_KEY", "/b:/d"),
        ];
        let serve = with(&["--port", "80"], &environment).unwrap();
        assert_eq!(serve.first, "127.0.0.1:80".parse().unwrap());
        let tls = serve.tls.unwrap();
        assert_eq!(tls.listen, "[::]:443".parse().unwrap());
        assert!(matches!(tls.certificates, Certificates::Files(pairs) if pairs.len() == 2));
    }

    #[test]
    fn what_is_about_https_needs_a_port_for_it() {
        let nothing = "nothing speaks HTTPS; give a port for it with --tls-port N or --tls-listen \
                       ADDR:PORT";
        for (args, option) in [
            (&["--tls-cert", "c", "--tls-key", "k"][..], "--tls-cert"),
            (&["--tls-self-signed"], "--tls-self-signed"),
            (&["--redirect-port", "80"], "--redirect-port"),
            (&["--tls-client-ca", "f"], "--tls-client-ca"),
        ] {
            let fault = with(&[&["--port", "1"], args].concat(), &[]).unwrap_err();
            assert_eq!(fault.to_string(), format!("{option}: {nothing}"));
        }
    }

    #[test]
    fn its_own_certificate_a_redirect_and_clients_that_show_theirs() {
        let own = with(&["--tls-port", "1", "--tls-self-signed", "--redirect-port", "2"], &[]);
        let tls = own.unwrap().tls.unwrap();
        assert_eq!(tls.certificates, Certificates::SelfSigned);
        assert_eq!(tls.clients, ClientAuth::Off);
        for (word, expected) in [
            (&[][..], ClientAuth::Required { authorities: "f".into() }),
            (&["--tls-client-auth", "required"], ClientAuth::Required { authorities: "f".into() }),
            (&["--tls-client-auth", "optional"], ClientAuth::Optional { authorities: "f".into() }),
        ] {
            let asking = ["--tls-port", "1", "--tls-self-signed", "--tls-client-ca", "f"];
            let serve = with(&[&asking[..], word].concat(), &[]).unwrap();
            let tls = serve.tls.unwrap();
            assert_eq!((tls.clients, tls.tells_chain), (expected, false));
            let serve = with(&[&asking[..], word, &["--tls-client-chain"]].concat(), &[]).unwrap();
            assert!(serve.tls.unwrap().tells_chain);
        }
        assert_eq!(tls.redirect, Some("127.0.0.1:2".parse().unwrap()));
    }

    #[test]
    fn what_does_not_go_together_is_one_line() {
        let pair = ["--tls-cert", "c", "--tls-key", "k"];
        let rows: [(&[&str], &str); 11] = [
            (
                &["--tls-port", "1", "--tls-self-signed", "--tls-client-chain"],
                "--tls-client-chain: no client is asked for a certificate; give the authorities for \
                 it with --tls-client-ca FILE",
            ),
            (
                &["--tls-port", "1", "--tls-self-signed", "--tls-client-auth", "optional"],
                "--tls-client-auth: \"optional\": there are no authorities for it; give them with \
                 --tls-client-ca FILE",
            ),
            (
                &["--port", "1", "--tls-client-ca", "f", "--tls-client-auth", "maybe"],
                "--tls-client-auth: \"maybe\": it is neither of the two; give optional or required",
            ),
            (
                &["--tls-port", "1"],
                "--tls-port: there is no certificate for it; give one with --tls-cert FILE and \
                 --tls-key FILE, or try it with --tls-self-signed",
            ),
            (
                &[&["--tls-port", "1", "--tls-self-signed"][..], &pair].concat(),
                "--tls-cert and --tls-self-signed exclude each other; give one of them",
            ),
            (
                &[&["--tls-port", "1", "--redirect-port", "1"][..], &pair].concat(),
                "--redirect-port: 127.0.0.1:1 is where --tls-port listens already; give each a port \
                 of its own",
            ),
            (
                &[
                    "--listen",
                    "[::]:1",
                    "--tls-port",
                    "2",
                    "--tls-self-signed",
                    "--redirect-listen",
                    "[::]:1",
                ],
                "--redirect-listen: [::]:1 is where --port listens already; give each a port of its \
                 own",
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
