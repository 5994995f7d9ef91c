//! Which certificate a client gets: the one for the name it asks for.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;

/// Certificates by name. Several may be for one name, with keys of different kinds.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind `*.`.
    wild: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For clients that ask for no name, or for one that nobody has.
    usual: Vec<Arc<CertifiedKey>>,
}

impl Names {
    /// The first pair is for all names that no pair has.
    pub(super) fn new<'p>(pairs: impl IntoIterator<Item = &'p Pair>) -> Self {
        let mut names = Self::default();
        for pair in pairs {
            for name in &pair.names {
                let (table, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wild, parent),
                    None => (&mut names.exact, name.as_str()),
                };
                let certified = Arc::clone(&pair.certified);
                table.entry(name.trim_end_matches('.').to_owned()).or_default().push(certified);
            }
            if names.usual.is_empty() {
                names.usual.push(Arc::clone(&pair.certified));
            }
        }
        names
    }

    /// The certificates for a name, in the order they were given.
    fn of(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let wild = || self.wild.get(name.split_once('.')?.1);
        self.exact.get(&name).or_else(wild).unwrap_or(&self.usual)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = hello.server_name().map_or(&self.usual[..], |name| self.of(name));
        let schemes = hello.signature_schemes();
        let suits = |candidate: &&Arc<CertifiedKey>| candidate.key.choose_scheme(schemes).is_some();
        candidates.iter().find(suits).or(candidates.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use policy::Timestamp;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::super::validity::Validity;
    use super::*;
    use crate::tls::provider;

    fn pair(names: &[&str]) -> Pair {
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let key = provider().key_provider.load_private_key(PrivateKeyDer::Pkcs8(key)).unwrap();
        let certified = Arc::new(CertifiedKey::new(vec![made.cert.der().clone()], key));
        let names = names.iter().map(ToString::to_string).collect();
        let at = Timestamp::from_millis(0);
        let validity = Validity { not_before: at, not_after: at };
        Pair { names, validity, certified }
    }

    #[test]
    fn the_closest_name_wins_and_the_first_pair_stands_in() {
        let pairs = [
            pair(&["first.example"]),
            pair(&["*.b.example"]),
            pair(&["a.b.example", "c.example"]),
            pair(&["a.b.example"]),
        ];
        let names = Names::new(&pairs);
        for (name, expected) in [
            ("first.example", 0),
            ("x.b.example", 1),
            ("X.B.EXAMPLE.", 1),
            ("a.b.example", 2),
            ("c.example", 2),
            ("y.x.b.example", 0),
            ("b.example", 0),
            ("nobody.example", 0),
            ("", 0),
        ] {
            let found = names.of(name);
            assert!(Arc::ptr_eq(&found[0], &pairs[expected].certified), "{name}");
        }
        assert_eq!(names.of("a.b.example").len(), 2);
    }
}
