//! The token that a scraper has to know where the address alone does not keep others out.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

/// No token is longer.
const LONGEST: u64 = 4096;
/// A shorter one can be guessed.
const SHORTEST: usize = 16;

/// Why a file has no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// It cannot be read.
    #[error("cannot read --metrics-token-file {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has something else.
    #[error(
        "--metrics-token-file {}: it has to have one line of {SHORTEST} to {LONGEST} letters, digits and -._~+/, as `openssl rand -hex 32` writes it", .0.display()
    )]
    Malformed(PathBuf),
}

/// The token.
pub(crate) struct Token(Vec<u8>);

impl Token {
    /// Reads it, without the end of its line.
    pub(crate) fn of_file(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Read { file: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut content = Vec::new();
        file.take(LONGEST + 3).read_to_end(&mut content).map_err(failed)?;
        Self::parse(&content).ok_or_else(|| TokenError::Malformed(path.to_owned()))
    }

    /// What may stand behind `Bearer` (RFC 9110 §11.2, token68).
    pub(super) fn parse(content: &[u8]) -> Option<Self> {
        let token = content.trim_ascii();
        let is_fit = (SHORTEST..=LONGEST as usize).contains(&token.len()) && is_token68(token);
        is_fit.then(|| Self(token.to_vec()))
    }

    /// Whether these are the credentials of somebody who knows it. How long that takes does not tell
    /// where they differ.
    pub(super) fn is_shown_by(&self, credentials: &[u8]) -> bool {
        let Some((scheme, shown)) = credentials.split_at_checked(BEARER.len()) else {
            return false;
        };
        //= https://www.rfc-editor.org/rfc/rfc9110#section-11.1
        //# It uses a case-insensitive token to identify the authentication scheme
        scheme.eq_ignore_ascii_case(BEARER) && shown.trim_ascii().ct_eq(&self.0).into()
    }
}

const BEARER: &[u8] = b"Bearer ";

fn is_token68(bytes: &[u8]) -> bool {
    let end = bytes.iter().rposition(|&byte| byte != b'=').map_or(0, |last| last + 1);
    let is_one = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    bytes.iter().take(end).all(is_one) && end > 0
}
