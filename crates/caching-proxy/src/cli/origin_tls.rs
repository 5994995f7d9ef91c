//! The options about TLS with the origin.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use proxy::{OriginTls, OriginUrl, PairFiles, Scheme, TlsName};

use super::check::{Given, Texts};
use super::fault::{Fault, named};

/// As they are written.
#[derive(Debug, Default, Args)]
#[expect(clippy::struct_field_names, reason = "they are named as the options are")]
pub(crate) struct RawOriginTls {
    /// Trust the authorities in this file for the origin's certificate, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_ca: Option<OsString>,
    /// Certificate to show to the origin, in PEM form
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_cert: Option<OsString>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    pub(crate) origin_key: Option<OsString>,
    /// Name to ask the origin for in TLS, and that its certificate must be for [default: the host of
    /// --origin]
    #[arg(long, value_name = "NAME")]
    pub(crate) origin_name: Option<String>,
    /// Take any certificate from the origin; for tests, since anyone on the way can pose as it
    #[arg(long)]
    pub(crate) origin_insecure: bool,
}

/// Checks them together.
pub(super) fn check(
    raw: RawOriginTls,
    origin: &OriginUrl,
    texts: &Texts<'_>,
) -> Result<OriginTls, Fault> {
    let authorities = texts.of("--origin-ca", raw.origin_ca);
    let certificate = texts.of("--origin-cert", raw.origin_cert);
    let key = texts.of("--origin-key", raw.origin_key);
    let name = texts.of("--origin-name", raw.origin_name);
    let insecure = texts.flag("--origin-insecure", raw.origin_insecure)?;
    if origin.scheme() == Scheme::Http {
        let given = [&authorities, &certificate, &key, &name].into_iter().flatten().next();
        let option = given.map(|given| named(given.option, given.source));
        let option = option.or(insecure.map(|source| named("--origin-insecure", source)));
        if let Some(option) = option {
            return Err(Fault::new(format!(
                "{option}: {origin} is an origin without TLS; write https:// or leave it out"
            )));
        }
    }
    if let (Some(given), Some(source)) = (&authorities, insecure) {
        return Err(Fault::new(format!(
            "{} and {} exclude each other; give one of them",
            named(given.option, given.source),
            named("--origin-insecure", source)
        )));
    }
    Ok(OriginTls {
        authorities: authorities.map(|given| PathBuf::from(given.value)),
        identity: identity(certificate, key)?,
        name: name.map(|given| given.tls_name()).transpose()?,
        unchecked: insecure.is_some(),
    })
}

fn identity(certificate: Option<Given>, key: Option<Given>) -> Result<Option<PairFiles>, Fault> {
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(PairFiles {
            certificate: PathBuf::from(certificate.value),
            key: PathBuf::from(key.value),
        })),
        (Some(alone), None) => Err(alone.fault("there is no key for it", "give --origin-key FILE")),
        (None, Some(alone)) => {
            Err(alone.fault("there is no certificate for it", "give --origin-cert FILE"))
        }
    }
}

impl Given {
    fn tls_name(&self) -> Result<TlsName, Fault> {
        let name = TlsName::parse(self.text()?);
        name.ok_or_else(|| self.unlike_example("it is no name that a certificate can carry"))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, read};
    use super::*;

    fn with(args: &[&str]) -> Result<OriginTls, Fault> {
        let args = ["--port", "1"].iter().chain(args).map(OsString::from).collect::<Vec<_>>();
        match read(&args, &|_| None)? {
            Command::Serve(serve) => Ok(serve.origin_tls),
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    const SECURE: [&str; 2] = ["--origin", "https://a"];

    #[test]
    fn an_origin_can_be_asked_in_another_way() {
        assert_eq!(with(&SECURE).unwrap(), OriginTls::default());
        let args = ["--origin-ca", "/ca", "--origin-cert", "/c", "--origin-key", "/k"];
        let name = ["--origin-name", "b.example"];
        let tls = with(&[&SECURE[..], &args, &name].concat()).unwrap();
        let identity = PairFiles { certificate: "/c".into(), key: "/k".into() };
        assert_eq!(tls.authorities, Some("/ca".into()));
        assert_eq!((tls.identity, tls.unchecked), (Some(identity), false));
        assert_eq!(tls.name, TlsName::parse("b.example"));
        assert!(with(&[&SECURE[..], &["--origin-insecure"]].concat()).unwrap().unchecked);
    }

    #[test]
    fn what_does_not_go_together_is_one_line() {
        let rows: [(&[&str], &str); 6] = [
            (
                &["--origin", "http://a", "--origin-ca", "/ca"],
                "--origin-ca: http://a is an origin without TLS; write https:// or leave it out",
            ),
            (
                &["--origin", "http://a", "--origin-insecure"],
                "--origin-insecure: http://a is an origin without TLS; write https:// or leave it \
                 out",
            ),
            (
                &["--origin", "https://a", "--origin-insecure", "--origin-ca", "/ca"],
                "--origin-ca and --origin-insecure exclude each other; give one of them",
            ),
            (
                &["--origin", "https://a", "--origin-cert", "/c"],
                "--origin-cert: \"/c\": there is no key for it; give --origin-key FILE",
            ),
            (
                &["--origin", "https://a", "--origin-key", "/k"],
                "--origin-key: \"/k\": there is no certificate for it; give --origin-cert FILE",
            ),
            (
                &["--origin", "https://a", "--origin-name", "a b"],
                "--origin-name: \"a b\": it is no name that a certificate can carry; write it like \
                 --origin-name api.example.com",
            ),
        ];
        for (args, line) in rows {
            assert_eq!(with(args).unwrap_err().to_string(), line, "{args:?}");
        }
    }
}
